import Glibc
import Testing

@testable import Moongate

/// What waits for the end of the turn leaves, whoever else writes before.
@Suite struct FlushBorrowedTests {
    @Test func flushingWithoutBorrowedBytesLosesNothing() throws {
        let loop = try EventLoop()
        let (near, far) = try socketPair()
        let connection = Connection(
            ConnectionIO(
                loop: loop, shared: ConnectionShared(), transport: Transport(plain: near),
                settings: EngineSettings(side: .client, maxHeaderBytes: 1024)))
        defer {
            connection.close(.local)
            close(far)
        }
        connection.io.begin()
        connection.engine.ping(7)
        connection.flushBorrowed()
        loop.turn(limit: 0)
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 1)
        defer { target.deallocate() }
        // The preface, SETTINGS with three values, and PING.
        #expect(Transport(plain: far).read(into: target) == .bytes(24 + 9 + 18 + 17))
    }
}
