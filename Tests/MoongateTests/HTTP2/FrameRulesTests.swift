import Testing

@testable import Moongate

/// What a client may send (RFC 9113 §4 to §6), frame by frame, and what it gets for the rest.
@Suite struct FrameRulesTests {
    /// `POST http://a/`
    private static let request: [UInt8] = [0x83, 0x86, 0x84, 0x41, 1, 0x61]
    private static let ends = FrameFlag.endStream
    private static let whole = FrameFlag.endHeaders

    /// A frame, or several, that end the connection with this code.
    struct Breach: Sendable, CustomTestStringConvertible {
        let name: String
        let bytes: [UInt8]
        let code: ErrorCode
        var testDescription: String { name }

        init(_ name: String, _ code: ErrorCode, _ frames: [UInt8]...) {
            self.name = name
            self.code = code
            bytes = frames.flatMap { $0 }
        }
    }

    private static func frame(_ type: UInt8, _ flags: UInt8 = 0, on stream: Int32 = 0, _ payload: [UInt8] = [])
        -> [UInt8]
    {
        EngineBench.frame(type, flags: flags, stream: stream, payload)
    }

    /// A request on `stream`, with its end or open.
    private static func open(_ stream: Int32, ending: Bool = false) -> [UInt8] {
        frame(FrameType.headers, whole | (ending ? ends : 0), on: stream, request)
    }

    private static let breaches: [Breach] = [
        Breach("a frame that is too large", .frameSizeError, [0, 0x40, 1, 0, 0, 0, 0, 0, 1]),
        Breach("DATA on stream 0", .protocolError, frame(FrameType.data, 0, on: 0, [1])),
        Breach("DATA on an idle stream", .protocolError, frame(FrameType.data, 0, on: 1, [1])),
        Breach(
            "DATA with more padding than payload", .protocolError, open(1),
            frame(FrameType.data, FrameFlag.padded, on: 1, [5, 1])),
        Breach(
            "DATA that is padded and empty", .frameSizeError, open(1), frame(FrameType.data, FrameFlag.padded, on: 1)),
        Breach("HEADERS on stream 0", .protocolError, frame(FrameType.headers, whole, on: 0, request)),
        Breach("HEADERS on an even stream", .protocolError, frame(FrameType.headers, whole, on: 2, request)),
        Breach("HEADERS on a lower stream", .streamClosed, open(5, ending: true), open(3)),
        Breach(
            "HEADERS with too much padding", .protocolError,
            frame(FrameType.headers, whole | FrameFlag.padded, on: 1, [9, 1])),
        Breach(
            "HEADERS that are padded and empty", .frameSizeError,
            frame(FrameType.headers, whole | FrameFlag.padded, on: 1)),
        Breach(
            "HEADERS that depend on themselves are cut", .frameSizeError,
            frame(FrameType.headers, whole | FrameFlag.priority, on: 1, [0, 0])),
        Breach(
            "a block that cannot be decoded", .compressionError,
            frame(FrameType.headers, whole, on: 1, [0xff, 0xff, 0xff, 0xff, 0xff])),
        Breach("an index of no field", .compressionError, frame(FrameType.headers, whole, on: 1, [0x80])),
        Breach("CONTINUATION out of nothing", .protocolError, frame(FrameType.continuation, whole, on: 1, request)),
        Breach(
            "a section that DATA interrupts", .protocolError, frame(FrameType.headers, 0, on: 1, request),
            frame(FrameType.data, 0, on: 1, [1])),
        Breach(
            "a section that goes on elsewhere", .protocolError, frame(FrameType.headers, 0, on: 1, request),
            frame(FrameType.continuation, whole, on: 3)),
        Breach(
            "a section that PING interrupts", .protocolError, frame(FrameType.headers, 0, on: 1, request),
            frame(FrameType.ping, 0, on: 0, [UInt8](repeating: 0, count: 8))),
        Breach("PRIORITY on stream 0", .protocolError, frame(FrameType.priority, 0, on: 0, [0, 0, 0, 1, 0])),
        Breach("PRIORITY of four octets", .frameSizeError, frame(FrameType.priority, 0, on: 1, [0, 0, 0, 1])),
        Breach(
            "an idle stream that depends on itself", .protocolError,
            frame(FrameType.priority, 0, on: 1, [0, 0, 0, 1, 0])),
        Breach("RST_STREAM on stream 0", .protocolError, frame(FrameType.resetStream, 0, on: 0, [0, 0, 0, 8])),
        Breach("RST_STREAM on an idle stream", .protocolError, frame(FrameType.resetStream, 0, on: 1, [0, 0, 0, 8])),
        Breach(
            "RST_STREAM of three octets", .frameSizeError, open(1), frame(FrameType.resetStream, 0, on: 1, [0, 0, 8])),
        Breach("SETTINGS on a stream", .protocolError, frame(FrameType.settings, 0, on: 1)),
        Breach("SETTINGS of five octets", .frameSizeError, frame(FrameType.settings, 0, on: 0, [0, 1, 0, 0, 0])),
        Breach(
            "SETTINGS that acknowledge and set", .frameSizeError,
            frame(FrameType.settings, FrameFlag.acknowledgement, on: 0, [0, 1, 0, 0, 0, 0])),
        Breach("ENABLE_PUSH of 2", .protocolError, frame(FrameType.settings, 0, on: 0, [0, 2, 0, 0, 0, 2])),
        Breach("a window of 2³¹", .flowControlError, frame(FrameType.settings, 0, on: 0, [0, 4, 0x80, 0, 0, 0])),
        Breach(
            "MAX_FRAME_SIZE of 16383", .protocolError, frame(FrameType.settings, 0, on: 0, [0, 5, 0, 0, 0x3f, 0xff])),
        Breach("MAX_FRAME_SIZE of 2²⁴", .protocolError, frame(FrameType.settings, 0, on: 0, [0, 5, 1, 0, 0, 0])),
        Breach("PUSH_PROMISE", .protocolError, open(1), frame(FrameType.pushPromise, whole, on: 1, [0, 0, 0, 2])),
        Breach("PING on a stream", .protocolError, frame(FrameType.ping, 0, on: 1, [UInt8](repeating: 0, count: 8))),
        Breach(
            "PING of seven octets", .frameSizeError, frame(FrameType.ping, 0, on: 0, [UInt8](repeating: 0, count: 7))),
        Breach(
            "GOAWAY on a stream", .protocolError, frame(FrameType.goAway, 0, on: 1, [UInt8](repeating: 0, count: 8))),
        Breach(
            "GOAWAY of seven octets", .frameSizeError,
            frame(FrameType.goAway, 0, on: 0, [UInt8](repeating: 0, count: 7))),
        Breach(
            "GOAWAY whose last stream rises", .protocolError,
            frame(FrameType.goAway, 0, on: 0, [0, 0, 0, 1, 0, 0, 0, 0]),
            frame(FrameType.goAway, 0, on: 0, [0, 0, 0, 3, 0, 0, 0, 0])),
        Breach("WINDOW_UPDATE of three octets", .frameSizeError, frame(FrameType.windowUpdate, 0, on: 0, [0, 0, 1])),
        Breach("WINDOW_UPDATE of 0", .protocolError, frame(FrameType.windowUpdate, 0, on: 0, [0, 0, 0, 0])),
        Breach(
            "WINDOW_UPDATE on an idle stream", .protocolError, frame(FrameType.windowUpdate, 0, on: 1, [0, 0, 0, 1])),
        Breach(
            "a connection's window of 2³¹", .flowControlError,
            frame(FrameType.windowUpdate, 0, on: 0, [0x7f, 0xff, 0xff, 0xff])),
        Breach(
            "DATA behind the end of a stream that is gone", .streamClosed, open(1, ending: true),
            frame(FrameType.resetStream, 0, on: 1, [0, 0, 0, 8]), frame(FrameType.data, 0, on: 1, [1])),
    ]

    @Test(arguments: breaches)
    func whatBreaksARuleOfTheConnectionEndsIt(breach: Breach) {
        let bench = EngineBench.server()
        bench.receive(breach.bytes)
        #expect(bench.isClosed)
        let sent = bench.flush()
        #expect(sent.last?.type == FrameType.goAway && sent.last?.code == breach.code, "\(sent)")
        #expect(bench.streams.count == 0)
    }

    /// The same in pieces of one octet each.
    @Test(arguments: breaches)
    func soItDoesInPieces(breach: Breach) {
        let bench = EngineBench.server()
        for octet in breach.bytes { bench.receive([octet]) }
        #expect(bench.isClosed && bench.flush().last?.code == breach.code)
    }

    private static let faults: [Breach] = [
        Breach(
            "HEADERS without END_STREAM behind the head", .protocolError, open(1),
            frame(FrameType.headers, whole, on: 1, [0x00, 1, 0x61, 1, 0x62])),
        Breach(
            "HEADERS behind the end", .streamClosed, open(1, ending: true),
            frame(FrameType.headers, whole | ends, on: 1, [0x00, 1, 0x61, 1, 0x62])),
        Breach("DATA behind the end", .streamClosed, open(1, ending: true), frame(FrameType.data, 0, on: 1, [1])),
        Breach("no :path", .protocolError, frame(FrameType.headers, whole, on: 1, [0x83, 0x86])),
        Breach("two methods", .protocolError, frame(FrameType.headers, whole, on: 1, [0x82, 0x83, 0x86, 0x84])),
        Breach(
            "a pseudo-header behind a field", .protocolError,
            frame(FrameType.headers, whole, on: 1, [0x83, 0x86, 0x00, 1, 0x61, 1, 0x62, 0x84])),
        Breach(
            "a response's pseudo-header", .protocolError,
            frame(FrameType.headers, whole, on: 1, [0x83, 0x86, 0x84, 0x88])),
        Breach(
            "a name in capitals", .protocolError,
            frame(FrameType.headers, whole, on: 1, request + [0x00, 1, 0x41, 1, 0x62])),
        Breach(
            "a window of a stream of 2³¹", .flowControlError, open(1),
            frame(FrameType.windowUpdate, 0, on: 1, [0x7f, 0xff, 0xff, 0xff])),
        Breach(
            "WINDOW_UPDATE of 0 on a stream", .protocolError, open(1),
            frame(FrameType.windowUpdate, 0, on: 1, [0, 0, 0, 0])),
        Breach(
            "a stream that depends on itself", .protocolError, open(1),
            frame(FrameType.priority, 0, on: 1, [0, 0, 0, 1, 0])),
        Breach(
            "less than content-length", .protocolError,
            frame(FrameType.headers, whole, on: 1, request + [0x0f, 0x0d, 1, 0x35]),
            frame(FrameType.data, ends, on: 1, [1])),
        Breach(
            "more than content-length", .protocolError,
            frame(FrameType.headers, whole, on: 1, request + [0x0f, 0x0d, 1, 0x31]),
            frame(FrameType.data, 0, on: 1, [1, 2])),
    ]

    @Test(arguments: faults)
    func whatBreaksARuleOfAStreamResetsItAlone(fault: Breach) {
        let bench = EngineBench.server()
        bench.receive(fault.bytes)
        let sent = bench.flush()
        #expect(!bench.isClosed && bench.streams.count == 0)
        #expect(
            sent.last?.type == FrameType.resetStream && sent.last?.stream == 1 && sent.last?.code == fault.code,
            "\(sent)")
        // Another one is served.
        bench.receive(FrameRulesTests.open(3, ending: true))
        #expect(bench.streams.count == 1 && bench.delegate.sections.last?.stream == 3)
    }

    /// Frames that mean nothing to us, or arrive late.
    private static let harmless: [Breach] = [
        Breach("an unknown type", .noError, frame(0xfa, 0xff, on: 0, [1, 2, 3])),
        Breach("an unknown type on an idle stream", .noError, frame(0xfa, 0, on: 9)),
        Breach("unknown settings", .noError, frame(FrameType.settings, 0, on: 0, [0xff, 0xff, 1, 2, 3, 4])),
        Breach(
            "WINDOW_UPDATE on a stream that is gone", .noError, open(1),
            frame(FrameType.resetStream, 0, on: 1, [0, 0, 0, 8]), frame(FrameType.windowUpdate, 0, on: 1, [0, 0, 0, 1])),
        Breach(
            "RST_STREAM twice", .noError, open(1), frame(FrameType.resetStream, 0, on: 1, [0, 0, 0, 8]),
            frame(FrameType.resetStream, 0, on: 1, [0, 0, 0, 8])),
        Breach("PRIORITY on an idle stream", .noError, frame(FrameType.priority, 0, on: 7, [0, 0, 0, 1, 0])),
        Breach("flags without meaning", .noError, frame(FrameType.ping, 0xfe, on: 0, [UInt8](repeating: 0, count: 8))),
        Breach("padding", .noError, frame(FrameType.headers, whole | FrameFlag.padded, on: 1, [2] + request + [0, 0])),
    ]

    @Test(arguments: harmless)
    func whatMeansNothingChangesNothing(frame: Breach) {
        let bench = EngineBench.server()
        bench.receive(frame.bytes)
        bench.receive(FrameRulesTests.open(11, ending: true))
        #expect(!bench.isClosed && bench.delegate.sections.last?.stream == 11)
        #expect(!bench.flush().contains { $0.type == FrameType.goAway })
    }

    @Test func streamsBeyondTheLimitAreRefused() {
        let bench = EngineBench.server(streamLimit: 2)
        for stream in [1, 3, 5] as [Int32] { bench.receive(FrameRulesTests.open(stream)) }
        let sent = bench.flush()
        #expect(bench.streams.count == 2)
        #expect(sent.last == EngineBench.Frame(type: FrameType.resetStream, stream: 5, payload: [0, 0, 0, 7]))
    }

    @Test func pingsAreAnsweredWithWhatTheyCarry() {
        let bench = EngineBench.server()
        bench.receive(FrameType.ping, [1, 2, 3, 4, 5, 6, 7, 8])
        let answer = EngineBench.Frame(
            type: FrameType.ping, flags: FrameFlag.acknowledgement, payload: [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(bench.flush() == [answer])
    }

    /// RFC 9113 §3.4
    @Test(arguments: ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n"])
    func aClientThatDoesNotSpeakHTTP2IsToldSo(text: String) {
        let bench = EngineBench(EngineSettings(side: .server, maxHeaderBytes: 4096, streamLimit: 100))
        bench.receive(Array(text.utf8))
        #expect(bench.isClosed && bench.flush().last?.code == .protocolError)
    }
}
