import Testing

@testable import Moongate

/// Our side of a connection to a server, which the test plays.
@Suite final class ClientEngineTests {
    private let bench = EngineBench(EngineSettings(side: .client, maxHeaderBytes: 1024))
    private let request = HeaderList()
    private let streams: [Stream]

    init() { streams = (0..<4).map { [bench] _ in bench.makeStream() } }

    deinit { request.destroy() }

    private func submit(_ index: Int, octets: Int = 200) -> HeadSubmission {
        request.reset()
        request.add(":method", "GET")
        let rest = octets - request.encodedSize - 32 - 1
        String(repeating: "v", count: rest).withBytes { request.add("x", $0) }
        return bench.engine.submitRequest(streams[index], request, hasBody: false)
    }

    private func end(_ index: Int) -> StreamEnd? { bench.delegate.closed[Int32(2 * index + 1)] }

    /// RFC 9113 §6.5.2
    @Test func aHeadIsComparedWithTheServersLimitOnceThatIsKnown() {
        #expect(submit(0, octets: 8192) == .sent)
        #expect(submit(1, octets: 8193) == .awaitsSettings)
        bench.receive(FrameType.settings)
        #expect(submit(1, octets: 100_000) == .sent)
        bench.receive(FrameType.settings, [0, 6, 0, 0, 0x10, 0])
        #expect(submit(2, octets: 4097) == .tooLarge(HeadSize(octets: 4097, limit: 4096)))
        #expect(!streams[2].isOpen)
        #expect(submit(2, octets: 4096) == .sent)
    }

    /// Frames that wait for the end of the turn cannot be the reason: the server has not seen them.
    @Test func theHeadThatLeftLastIsHeldResponsibleForAnErrorOfTheConnection() {
        bench.receive(FrameType.settings)
        _ = submit(0)
        _ = submit(1)
        bench.flush()
        _ = submit(2)
        bench.receive(FrameType.goAway, [0, 0, 0, 0, 0, 0, 0, 11])
        #expect(end(0) == .cutOff && end(1) == .overloaded && end(2) == .cutOff)
    }

    /// nghttp2 ends a connection so when many streams on it have been reset (CVE-2023-44487), whoever has asked for that.
    @Test func noStreamIsHeldResponsibleForAnErrorOfTheServersOwn() {
        bench.receive(FrameType.settings)
        for index in 0..<3 { _ = submit(index) }
        bench.flush()
        bench.receive(FrameType.goAway, [0, 0, 0, 1, 0, 0, 0, 2])
        #expect(end(0) == nil && end(1) == .cutOff && end(2) == .cutOff)
    }

    @Test func noStreamIsHeldResponsibleForAnOrderlyEnd() {
        bench.receive(FrameType.settings)
        for index in 0..<3 { _ = submit(index) }
        bench.flush()
        bench.receive(FrameType.goAway, [0, 0, 0, 1, 0, 0, 0, 0])
        #expect(end(0) == nil && end(1) == .refused && end(2) == .refused)
        #expect(bench.events.contains(.leaving))
    }
}
