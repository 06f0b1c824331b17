import Testing

@testable import Moongate

/// Streams of one connection, whose places in the rows are compared with a model.
@Suite struct HTTP2StreamQueuesTests {
    private final class Streams {
        let loop: EventLoop
        let connection: HTTP2Connection
        let streams: UnsafeMutablePointer<HTTP2Stream>
        let count: Int

        init(_ count: Int) throws {
            loop = try EventLoop()
            self.count = count
            let (near, far) = try socketPair()
            _ = far
            connection = HTTP2Connection(
                loop: loop, library: HTTP2SharedState(), acceptor: nil, transport: Transport(plain: near),
                maxHeaderBytes: 1024)
            streams = .allocate(capacity: count)
            streams.initialize(repeating: HTTP2Stream(), count: count)
            for index in 0..<count { connection.attach(streams + index, Int32(2 * index + 1)) }
        }

        deinit {
            connection.close(.local)
            streams.deallocate()
        }
    }

    /// The order in which all streams come out that can send, once the kernel takes bytes.
    private func drain(_ queues: inout HTTP2StreamQueues) -> [Int32] {
        var order: [Int32] = []
        queues.unblock()
        while let stream = queues.popReady() { order.append(stream.pointee.id) }
        return order
    }

    @Test func aStreamThatIsPutElsewhereLeavesItsPlace() throws {
        let all = try Streams(3)
        var queues = HTTP2StreamQueues()
        for index in 0..<3 { queues.put(all.streams + index, .blocked) }
        // It is reset while the others wait for the kernel, or gets a window.
        queues.put(all.streams + 1, .ready)
        #expect(queues.checkedCount() == 3)
        let result1 = queues.popReady()
        #expect(result1 == all.streams + 1)
        #expect(queues.checkedCount() == 2)
        let order = drain(&queues)
        #expect(order == [1, 5])
    }

    @Test func thoseThatWaitedForTheKernelComeFirst() throws {
        let all = try Streams(4)
        var queues = HTTP2StreamQueues()
        queues.put(all.streams + 2, .blocked)
        queues.put(all.streams + 3, .blocked)
        queues.put(all.streams + 0, .ready)
        queues.put(all.streams + 1, .ready)
        let order = drain(&queues)
        #expect(order == [5, 7, 1, 3])
    }

    @Test(arguments: 1...20)
    func whateverIsDoneEachStreamStandsInOneRow(seed: UInt64) throws {
        let all = try Streams(16)
        var queues = HTTP2StreamQueues()
        var places = [HTTP2Stream.Queue](repeating: .none, count: all.count)
        var dice = FastRandom(seed: seed)
        for _ in 0..<2000 {
            let index = Int(dice.next() % UInt64(all.count))
            switch dice.next() % 8 {
            case 0...5:
                let queue = HTTP2Stream.Queue(rawValue: UInt8(dice.next() % 4)) ?? .none
                queues.put(all.streams + index, queue)
                // `put` into no row leaves the one where the stream stood.
                places[index] = queue
            case 6:
                guard let popped = queues.popReady() else { break }
                places[popped - all.streams] = .none
            default:
                queues.unblock()
                for index in places.indices where places[index] == .blocked { places[index] = .ready }
            }
            let standing = places.count { $0 != .none }
            #expect(queues.checkedCount() == standing)
            for index in places.indices { #expect(all.streams[index].queue == places[index]) }
        }
        for index in places.indices { queues.remove(all.streams + index) }
    }
}
