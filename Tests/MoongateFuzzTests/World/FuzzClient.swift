import Glibc

@testable import Moongate

/// A client of the world. It opens calls in order, and may do anything else by `FuzzStep`.
struct FuzzClient {
    private(set) var peer: FuzzPeer
    var isReading = true
    /// What the kernel has not taken yet.
    private var unsent: [UInt8] = []
    private var reader = FuzzFrameReader(expectsPreface: false)
    /// The edge has closed the connection.
    private(set) var isGone = false
    private var next: Int32 = 1
    /// The newest call's body goes on.
    private var isOpen = false
    private var cancelled: Set<Int32> = []
    /// The edge's end, while it is open.
    private let edgeEnd: Int32
    private let identity: UInt64?

    /// - Parameter choice: bit 0: small buffers, bit 1: large windows.
    init(_ ends: InlineEdge.Ends, _ choice: UInt8) {
        peer = FuzzPeer(descriptor: ends.client)
        edgeEnd = ends.edge
        identity = FuzzSocketState.identity(ends.edge)
        if choice & 1 == 1 {
            FuzzSockets.setBuffers(ends.edge, 2048)
            FuzzSockets.setBuffers(ends.client, 2048)
        }
        let wide =
            FuzzFrame.bytes(FrameType.settings, 0, [0, 4, 0, 16, 0, 0])
            + FuzzFrame.bytes(FrameType.windowUpdate, 0, [0, 16, 0, 0])
        send(FuzzFrame.preface + (choice & 2 == 2 ? wide : FuzzFrame.bytes(FrameType.settings)))
    }

    /// Whether the edge cannot write to it.
    var isFull: Bool { FuzzSocketState.identity(edgeEnd) == identity && FuzzSocketState.isFull(edgeEnd) }

    mutating func receive() throws {
        peer.sendSome(&unsent)
        guard isReading, !isGone else { return }
        guard let bytes = peer.receive() else { return isGone = true }
        _ = try reader.take(bytes)
    }

    private mutating func send(_ bytes: [UInt8]) {
        unsent += bytes
        peer.sendSome(&unsent)
    }

    mutating func perform(_ step: FuzzStep) {
        switch step {
        case .send(let bytes): send(bytes)
        case .finishWriting: peer.finishWriting()
        case .close: peer.close()
        case .wait: break
        }
    }

    /// A whole call, or one whose body is to go on.
    mutating func call(_ path: String, _ fields: [(String, String)], body: Int, ends: Bool) {
        let base = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "example.com")]
        let block = FuzzFrame.block(base + [("te", "trailers"), ("content-type", "application/grpc")] + fields)
        send(FuzzFrame.bytes(FrameType.headers, FrameFlag.endHeaders, stream: next, block))
        next += 2
        isOpen = true
        goOn(body, ends: ends)
    }

    /// A message of gRPC on the newest stream, if that has not ended, in frames of a size that may be sent.
    mutating func goOn(_ size: Int, ends: Bool) {
        guard isOpen else { return }
        isOpen = !ends
        let message =
            [0] + withUnsafeBytes(of: UInt32(size).bigEndian) { Array($0) } + [UInt8](repeating: 0x62, count: size)
        for place in stride(from: 0, to: message.count, by: 8192) {
            let end = min(place + 8192, message.count)
            let flags = ends && end == message.count ? FrameFlag.endStream : 0
            send(FuzzFrame.bytes(FrameType.data, flags, stream: next - 2, Array(message[place..<end])))
        }
    }

    /// Gives a call up, so many before the newest one.
    mutating func cancel(_ back: Int32) {
        let stream = next - 2 - 2 * back
        guard stream > 0, cancelled.insert(stream).inserted else { return }
        if back == 0 { isOpen = false }
        send(FuzzFrame.bytes(FrameType.resetStream, stream: stream, [0, 0, 0, 8]))
    }

    mutating func close() {
        reader.free()
        peer.close()
    }
}
