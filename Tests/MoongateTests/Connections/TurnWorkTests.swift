import Glibc
import Testing

@testable import Moongate

/// What one turn of the loop handles of one client.
@Suite struct TurnWorkTests {
    /// Counts requests, and refuses them.
    private final class Refusals: Connection {
        var count = 0
        override func openStream() -> Stream? {
            count += 1
            return nil
        }
    }

    /// A connection whose client has sent HEADERS with such a block, again and again.
    private final class Flood {
        let loop: EventLoop
        let refusals: Refusals
        private let client: Int32

        init(block: [UInt8], octets: Int) throws {
            loop = try EventLoop()
            let (near, far) = try socketPair()
            client = far
            refusals = Refusals(
                ConnectionIO(
                    loop: loop, shared: ConnectionShared(), transport: Transport(plain: near),
                    settings: EngineSettings(side: .server, maxHeaderBytes: 64 << 10, streamLimit: 1000)))
            refusals.io.begin()
            var bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
            var stream: UInt32 = 1
            while bytes.count < octets {
                bytes += [0, UInt8(block.count >> 8), UInt8(block.count & 0xff), 1, 5]
                bytes += (0..<4).map { UInt8(truncatingIfNeeded: stream >> (24 - 8 * $0)) }
                bytes += block
                stream += 2
            }
            #expect(bytes.withBytes { Transport(plain: far).write($0) } == .bytes(bytes.count))
        }

        /// What the next turn handles, as `Engine.handled` counts it.
        func turn() -> UInt64 {
            let before = refusals.engine.handled
            loop.turn(limit: 0)
            return refusals.engine.handled - before
        }

        deinit {
            refusals.close(.local)
            close(client)
        }
    }

    @Test func aTurnHandlesAShareOnceAndTheNextOneGoesOn() throws {
        let flood = try Flood(block: [UInt8](repeating: 0x82, count: 100), octets: 120_000)
        var turns: [UInt64] = []
        while turns.last != 0, turns.count < 100 { turns.append(flood.turn()) }
        #expect(flood.refusals.count > 1000 && turns.count > 8, "\(turns)")
        // A share, and what the last read of it had in addition.
        #expect(turns.allSatisfy { $0 < 1024 + 850 }, "\(turns)")
    }

    @Test func longBlocksCountByTheirLength() throws {
        let flood = try Flood(block: [UInt8](repeating: 0x82, count: 3200), octets: 150_000)
        var most = 0
        for _ in 0..<10 {
            let before = flood.refusals.count
            _ = flood.turn()
            most = max(most, flood.refusals.count - before)
        }
        #expect(flood.refusals.count > 40 && most <= 13, "\(most)")
    }
}
