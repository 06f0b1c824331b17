import Glibc
import Testing

@testable import Moongate

/// Our side of a connection to a server, which the test plays.
@Suite final class ClientConnectionTests {
    private final class Ends: StreamDelegate {
        var codes: [UnsafeMutableRawPointer: ErrorCode] = [:]
        override func streamClosed(_ stream: UnsafeMutableRawPointer, _ code: ErrorCode, _ reason: CloseReason?) {
            codes[stream] = code
        }
    }

    private let loop: EventLoop
    private let connection: HTTP2Connection
    private let server: Int32
    private let ends = Ends()
    private let streams = UnsafeMutablePointer<HTTP2Stream>.allocate(capacity: 4)
    private let request = HeaderList()

    init() throws {
        loop = try EventLoop()
        let (near, far) = try socketPair()
        server = far
        connection = HTTP2Connection(
            loop: loop, library: HTTP2SharedState(), acceptor: nil, transport: Transport(plain: near),
            maxHeaderBytes: 1024)
        streams.initialize(repeating: HTTP2Stream(), count: 4)
        for index in 0..<4 {
            streams[index].owner = UnsafeMutableRawPointer(streams + index)
            streams[index].delegate = Unmanaged.passUnretained(ends)
        }
        connection.begin(.client, [], window: 65535)
    }

    deinit {
        connection.close(.local)
        close(server)
        request.destroy()
        streams.deallocate()
    }

    private func submit(_ index: Int, octets: Int = 200) -> HeadSubmission {
        request.reset()
        request.add(":method", "GET")
        let rest = octets - request.encodedSize - 32 - 1
        String(repeating: "v", count: rest).withBytes { request.add("x", $0) }
        return connection.submitRequest(request, hasBody: false, stream: streams + index)
    }

    private func receive(_ type: UInt8, _ payload: [UInt8]) {
        let bytes: [UInt8] = [0, 0, UInt8(payload.count), type, 0, 0, 0, 0, 0] + payload
        #expect(bytes.withBytes { Transport(plain: server).write($0) } == .bytes(bytes.count))
        loop.turn(limit: 0)
    }

    private func code(_ index: Int) -> ErrorCode? { ends.codes[UnsafeMutableRawPointer(streams + index)] }

    /// RFC 9113 §6.5.2
    @Test func aHeadIsComparedWithTheServersLimitOnceThatIsKnown() {
        #expect(submit(0, octets: 8192) == .sent)
        #expect(submit(1, octets: 8193) == .awaitsSettings)
        receive(FrameType.settings, [])
        #expect(submit(1, octets: 100_000) == .sent)
        receive(FrameType.settings, [0, 6, 0, 0, 0x10, 0])
        #expect(submit(2, octets: 4097) == .tooLarge(HeadSize(octets: 4097, limit: 4096)))
        #expect(!streams[2].isOpen)
        #expect(submit(2, octets: 4096) == .sent)
    }

    /// What waits for the end of the turn cannot be the reason: the server has not seen it.
    @Test func whatLeftLastIsHeldResponsibleForAnErrorOfTheConnection() {
        receive(FrameType.settings, [])
        _ = submit(0)
        _ = submit(1)
        loop.turn(limit: 0)
        _ = submit(2)
        receive(FrameType.goAway, [0, 0, 0, 0, 0, 0, 0, 11])
        #expect(code(0) == .refusedStream && code(1) == .enhanceYourCalm && code(2) == .refusedStream)
        #expect(streams[0].state.isCutOff && streams[2].state.isCutOff)
    }

    @Test func nobodyIsHeldResponsibleForAnOrderlyEnd() {
        receive(FrameType.settings, [])
        for index in 0..<3 { _ = submit(index) }
        loop.turn(limit: 0)
        receive(FrameType.goAway, [0, 0, 0, 1, 0, 0, 0, 0])
        #expect(code(0) == nil && code(1) == .refusedStream && code(2) == .refusedStream)
        #expect(!streams[1].state.isCutOff)
    }
}
