import Glibc
import Testing

@testable import Moongate

/// What waits for the end of the turn leaves, whoever else writes before.
@Suite struct FlushBorrowedTests {
    @Test func settlingWithoutLoansLosesNothing() throws {
        let loop = try EventLoop()
        let (near, far) = try socketPair()
        let connection = HTTP2Connection(
            loop: loop, library: HTTP2SharedState(), acceptor: nil, transport: Transport(plain: near),
            maxHeaderBytes: 1024)
        defer {
            connection.close(.local)
            close(far)
        }
        connection.begin(.client, [], window: 65535)
        connection.submitPing(7)
        connection.flushBorrowed()
        loop.turn(limit: 0)
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 1)
        defer { target.deallocate() }
        // The preface, SETTINGS of nothing, and PING.
        #expect(Transport(plain: far).read(into: target) == .bytes(24 + 9 + 17))
    }
}
