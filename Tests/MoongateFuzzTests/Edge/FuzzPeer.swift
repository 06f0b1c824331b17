import Glibc

@testable import Moongate

/// The other end of a connection of the edge: bytes in and out, without waiting.
struct FuzzPeer {
    private(set) var descriptor: Int32

    /// What the kernel does not take is gone: a peer may well stop in the middle.
    func send(_ bytes: [UInt8]) {
        guard descriptor >= 0, !bytes.isEmpty else { return }
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    }

    /// As much as the kernel takes; what it does not take stays in `bytes`.
    func sendSome(_ bytes: inout [UInt8]) {
        guard descriptor >= 0 else { return bytes.removeAll() }
        while !bytes.isEmpty {
            let count = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            guard count > 0 else {
                if errno != EAGAIN { bytes.removeAll() }
                return
            }
            bytes.removeFirst(count)
        }
    }

    /// What has come; `nil`: the edge has closed.
    func receive() -> [UInt8]? {
        guard descriptor >= 0 else { return nil }
        var bytes: [UInt8] = []
        var isOpen = true
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                bytes += buffer[0..<count]
            } else {
                isOpen = count < 0 && errno == EAGAIN
                break
            }
        }
        return bytes.isEmpty && !isOpen ? nil : bytes
    }

    func finishWriting() { if descriptor >= 0 { _ = shutdown(descriptor, Int32(SHUT_WR)) } }

    mutating func close() {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        descriptor = -1
    }
}

/// Frames by hand (RFC 9113 §4.1).
enum FuzzFrame {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func bytes(_ type: UInt8, _ flags: UInt8 = 0, stream: Int32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        bytes(type, flags, stream: stream, payload, length: payload.count)
    }

    /// With a length that may be wrong.
    static func bytes(_ type: UInt8, _ flags: UInt8, stream: Int32, _ payload: [UInt8], length: Int) -> [UInt8] {
        let number = UInt32(bitPattern: stream)
        return [UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8)]
            + [UInt8(truncatingIfNeeded: length), type, flags]
            + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } + payload
    }

    /// A header block of literals that enter no table (RFC 7541 §6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { name, value in [0] + text(name) + text(value) }
    }

    private static func text(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return (bytes.count < 127 ? [UInt8(bytes.count)] : [127, UInt8(bytes.count - 127)]) + bytes
    }
}

/// Reads what the edge sends and says what no peer may get: the edge must keep the rules whatever it was sent.
struct FuzzFrameReader {
    private var rest: [UInt8] = []
    private var isFirst = true
    /// A client gets no preface, an upstream does.
    private var prefaceLeft: Int
    private var awaited: Int32 = 0
    private var decoder: HeaderDecoder
    private let tools = CompressionTools()
    private var block: [UInt8] = []

    struct Frame {
        let head: FrameHead
        let payload: [UInt8]
    }

    init(expectsPreface: Bool) {
        prefaceLeft = expectsPreface ? FuzzFrame.preface.count : 0
        decoder = HeaderDecoder(tools)
    }

    mutating func free() { decoder.free() }

    /// The frames that are complete.
    mutating func take(_ bytes: [UInt8]) throws -> [Frame] {
        rest += bytes
        if prefaceLeft > 0 {
            guard rest.count >= prefaceLeft else { return [] }
            try Violation.check(Array(rest[0..<prefaceLeft]) == FuzzFrame.preface, "no preface for the upstream")
            rest.removeFirst(prefaceLeft)
            prefaceLeft = 0
        }
        var frames: [Frame] = []
        var place = 0
        while rest.count - place >= FrameHead.size {
            let head = rest.withUnsafeBufferPointer { FrameHead(parsing: $0.view.base + place) }
            try Violation.check(head.length <= FrameHead.maxPayload, "a frame of \(head.length) octets")
            guard rest.count - place >= FrameHead.size + head.length else { break }
            let payload = Array(rest[place + FrameHead.size..<place + FrameHead.size + head.length])
            try check(head, payload)
            frames.append(Frame(head: head, payload: payload))
            place += FrameHead.size + head.length
        }
        rest.removeFirst(place)
        return frames
    }

    private mutating func check(_ head: FrameHead, _ payload: [UInt8]) throws {
        if isFirst { try Violation.check(head.type == FrameType.settings, "the first frame is \(head.type)") }
        isFirst = false
        let isContinuation = head.type == FrameType.continuation
        try Violation.check(isContinuation == (awaited != 0), "a header section is interrupted by \(head.type)")
        try Violation.check(head.type <= FrameType.continuation, "a frame of type \(head.type)")
        guard head.type == FrameType.headers || isContinuation else { return }
        block += payload
        awaited = head.has(FrameFlag.endHeaders) ? 0 : head.stream
        guard awaited == 0 else { return }
        var odd: String?
        let isDecoded = block.withView { block in
            decoder.decode(block) { if !$0.isSound { odd = "\($0.name.string): \($0.value.string)" } }
        }
        try Violation.check(isDecoded, "a header block that cannot be decoded")
        try Violation.check(odd == nil, "a header that no message may have: \(odd ?? "")")
        block = []
    }
}
