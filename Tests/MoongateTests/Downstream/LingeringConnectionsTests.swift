import Glibc
import Testing

@testable import Moongate

@Suite struct LingeringConnectionsTests {
    private final class Ends { var numbers: [Int] = [] }

    private func add(_ number: Int, to lingering: LingeringConnections, _ loop: EventLoop, _ ends: Ends) throws -> Int32
    {
        let (near, far) = try socketPair()
        let leaving = LeavingTransport(transport: Transport(plain: near), rest: PendingBytes(), limits: .response)
        lingering.add(leaving, loop: loop) { ends.numbers.append(number) }
        return far
    }

    @Test func theOldestMakesRoom() throws {
        let (lingering, loop, ends) = (LingeringConnections(limit: 2), try EventLoop(), Ends())
        let peers = try (0..<3).map { try add($0, to: lingering, loop, ends) }
        defer { peers.forEach { close($0) } }
        #expect(ends.numbers == [0])
        // One that has gone by itself is no more the oldest.
        _ = shutdown(peers[1], Int32(SHUT_WR))
        loop.turn(limit: 100)
        #expect(ends.numbers == [0, 1])
        let more = try (3..<5).map { try add($0, to: lingering, loop, ends) }
        defer { more.forEach { close($0) } }
        #expect(ends.numbers == [0, 1, 2] && !lingering.isEmpty)
        lingering.endAll()
        #expect(ends.numbers.sorted() == [0, 1, 2, 3, 4] && lingering.isEmpty)
    }

    @Test func anEighthOfTheDescriptorsIsForAllWorkers() {
        #expect(LingeringConnections.limit(descriptors: 65_536, workers: 4) == 2048)
        #expect(LingeringConnections.limit(descriptors: 16, workers: 8) == 1)
        #expect(LingeringConnections.limit(descriptors: 0, workers: 1) == 128)
        #expect(LingeringConnections.limit(descriptors: .max, workers: 1) > 1 << 40)
    }
}
