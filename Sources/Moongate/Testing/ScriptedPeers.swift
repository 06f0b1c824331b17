import Glibc

/// What both sides of `RequestCost` are made of: a socket, and the frames that have come over it.
struct ScriptedPeer {
    let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 1 << 18)
    private var filled = 0

    /// - Parameter preface: octets that come before the first frame.
    init(_ descriptor: Int32, preface: Int = 0) {
        self.descriptor = descriptor
        skipped = preface
    }

    private var skipped: Int

    func send(_ bytes: [UInt8]) throws {
        guard !bytes.isEmpty else { return }
        let count = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        guard count == bytes.count else { throw SpecFault("the edge did not take \(bytes.count) octets at once") }
    }

    /// Reads what is there and calls `body` for each frame that is complete.
    mutating func receive(_ body: (FrameHead) -> Void) throws {
        while true {
            let count = buffer.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress.map { $0 + filled }, $0.count - filled, Int32(MSG_DONTWAIT))
            }
            guard count > 0 else {
                guard count < 0, errno == EAGAIN else { throw SpecFault("the edge has closed a connection") }
                return
            }
            filled += count
            takeFrames(body)
        }
    }

    private mutating func takeFrames(_ body: (FrameHead) -> Void) {
        var place = min(skipped, filled)
        skipped -= place
        buffer.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            while filled - place >= FrameHead.size {
                let head = FrameHead(parsing: base + place)
                guard filled - place >= FrameHead.size + head.length else { break }
                body(head)
                place += FrameHead.size + head.length
            }
        }
        buffer.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            memmove(base, base + place, filled - place)
        }
        filled -= place
    }

    // MARK: What is sent

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func frame(_ type: UInt8, _ flags: UInt8 = 0, stream: Int32 = 0, payload: [UInt8] = []) -> [UInt8] {
        let head = [UInt8](unsafeUninitializedCapacity: FrameHead.size) { buffer, count in
            if let base = buffer.baseAddress {
                FrameHead(length: payload.count, type: type, flags: flags, stream: stream).write(to: base)
                count = FrameHead.size
            }
        }
        return head + payload
    }

    static func setting(_ identifier: UInt8, _ value: UInt32) -> [UInt8] {
        [0, identifier] + withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    /// A field that enters the dynamic table (RFC 7541 §6.2.1).
    static func indexed(name: UInt8, _ value: String) -> [UInt8] {
        [0x40 | name, UInt8(value.utf8.count)] + value.utf8
    }

    static func indexed(name: String, _ value: String) -> [UInt8] {
        [0x40, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
    }

    /// The newest entries of the dynamic table (RFC 7541 §6.1), the oldest of them first.
    static func newest(_ count: UInt8) -> [UInt8] { (0..<count).reversed().map { 0x80 | (62 + $0) } }
}

/// A client that sends the same requests all the time, as h2load does.
struct ScriptedClient {
    private var peer: ScriptedPeer
    private var stream: Int32 = 1
    private(set) var answers = 0

    private static let pseudo: [UInt8] = [0x82, 0x86, 0x85]  // GET http /index.html
    private static let first =
        pseudo + ScriptedPeer.indexed(name: 1, "127.0.0.1:8080")
        + ScriptedPeer.indexed(name: 58, "h2load nghttp2/1.52.0")
        + ScriptedPeer.indexed(name: "username", "user7") + ScriptedPeer.indexed(name: "password", "secret7")
    private static let others = pseudo + ScriptedPeer.newest(4)
    private static let opening =
        ScriptedPeer.preface + ScriptedPeer.frame(FrameType.settings, payload: ScriptedPeer.setting(4, 1 << 30 - 1))
        + ScriptedPeer.frame(FrameType.windowUpdate, payload: [0x3f, 0xff, 0, 0])

    init(_ descriptor: Int32) throws {
        peer = ScriptedPeer(descriptor)
        try peer.send(ScriptedClient.opening)
    }

    mutating func request(_ count: Int) throws {
        var bytes: [UInt8] = []
        for _ in 0..<count {
            let block = stream == 1 ? ScriptedClient.first : ScriptedClient.others
            bytes += ScriptedPeer.frame(
                FrameType.headers, FrameFlag.endStream | FrameFlag.endHeaders, stream: stream, payload: block)
            stream += 2
        }
        try peer.send(bytes)
    }

    /// Reads; an answer is one with a body.
    mutating func receive() throws {
        var (ended, isAsked) = (0, false)
        try peer.receive { head in
            if head.type == FrameType.data, head.has(FrameFlag.endStream) { ended += 1 }
            if head.type == FrameType.settings, !head.has(FrameFlag.acknowledgement) { isAsked = true }
        }
        answers += ended
        if isAsked { try peer.send(ScriptedPeer.frame(FrameType.settings, FrameFlag.acknowledgement)) }
    }
}

/// A connection to a server that answers every request with 128 octets, as nghttpd does.
struct ScriptedServer {
    private var peer: ScriptedPeer
    private var isFirst = true
    private var waiting: [Int32] = []

    private static let first =
        [0x88] + ScriptedPeer.indexed(name: 54, "nghttpd nghttp2/1.52.0")
        + ScriptedPeer.indexed(name: 24, "max-age=3600")
        + ScriptedPeer.indexed(name: 33, "Mon, 02 Mar 2026 10:00:00 GMT")
        + ScriptedPeer.indexed(name: 28, "128") + ScriptedPeer.indexed(name: 44, "Sun, 01 Mar 2026 10:00:00 GMT")
        + ScriptedPeer.indexed(name: 31, "text/html")
    private static let others = [0x88] + ScriptedPeer.newest(6)
    private static let body = [UInt8](repeating: 0x61, count: 128)

    init(_ descriptor: Int32) throws {
        peer = ScriptedPeer(descriptor, preface: ScriptedPeer.preface.count)
        try peer.send(ScriptedPeer.frame(FrameType.settings, payload: ScriptedPeer.setting(3, 100)))
    }

    /// Requests that have no answer yet.
    var pending: Int { waiting.count }

    mutating func receive() throws {
        var (asked, isAsked) = ([Int32](), false)
        try peer.receive { head in
            if head.type == FrameType.headers { asked.append(head.stream) }
            if head.type == FrameType.settings, !head.has(FrameFlag.acknowledgement) { isAsked = true }
        }
        waiting += asked
        if isAsked { try peer.send(ScriptedPeer.frame(FrameType.settings, FrameFlag.acknowledgement)) }
    }

    mutating func answer() throws {
        var bytes: [UInt8] = []
        for stream in waiting {
            bytes += ScriptedPeer.frame(
                FrameType.headers, FrameFlag.endHeaders, stream: stream,
                payload: isFirst ? ScriptedServer.first : ScriptedServer.others)
            bytes += ScriptedPeer.frame(
                FrameType.data, FrameFlag.endStream, stream: stream, payload: ScriptedServer.body)
            isFirst = false
        }
        waiting = []
        try peer.send(bytes)
    }
}
