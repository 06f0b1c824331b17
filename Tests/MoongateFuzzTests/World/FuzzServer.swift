@testable import Moongate

/// A server of the world: it keeps the rules of HTTP/2 and has moods.
struct FuzzServer {
    enum Mood: UInt8, CaseIterable {
        case answers, large, unavailable, refuses, resets, page, silent, slow, leaves, closes
    }

    /// A response on its way, as far as the edge's windows let it go.
    private struct Sending {
        let stream: Int32
        var left: Int
        var window: Int
    }

    private struct Connection {
        var peer: FuzzPeer
        var reader = FuzzFrameReader(expectsPreface: true)
        var window = 65_535
        var firstWindow = 65_535
        var granted: [Int32: Int] = [:]
        var sending: [Sending] = []
        /// Requests without an answer.
        var kept: [Int32] = []
        var isClosing = false

        /// What the kernel has not taken yet.
        var unsent: [UInt8] = []

        mutating func send(_ bytes: [UInt8]) {
            unsent += bytes
            peer.sendSome(&unsent)
        }

        mutating func close() {
            reader.free()
            peer.close()
        }
    }

    var mood = Mood.answers
    var isReading = true
    private let edge: FuzzEdge
    private let slot: Int
    private var connections: [Connection] = []
    private let statsRow: FuzzTally

    init(_ edge: FuzzEdge, _ slot: Int, _ statsRow: FuzzTally) {
        self.edge = edge
        self.slot = slot
        self.statsRow = statsRow
    }

    private static let head = FuzzFrame.block([(":status", "200"), ("content-type", "application/grpc")])
    private static let trailers = FuzzFrame.block([("grpc-status", "0")])
    private static let unavailable = FuzzFrame.block([
        (":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14"),
    ])
    private static let page = FuzzFrame.block([(":status", "503"), ("content-type", "text/html")])
    private static let opening =
        FuzzFrame.bytes(FrameType.settings, 0, [0, 4, 0, 16, 0, 0])
        + FuzzFrame.bytes(FrameType.windowUpdate, 0, [0, 16, 0, 0])

    // MARK: What it does

    /// Takes connections, reads what has come and acts by its mood.
    mutating func serve() throws {
        while let peer = edge.acceptUpstream(slot) {
            // The edge's side of a socket that takes little has to be small as well.
            if slot % 2 == 1, let end = FuzzSocketState.otherEnd(of: peer.descriptor) {
                FuzzSockets.setBuffers(end, 4096)
            }
            connections.append(Connection(peer: peer))
            connections[connections.count - 1].send(FuzzServer.opening)
            statsRow.count(.connections)
        }
        for index in connections.indices { connections[index].send([]) }
        guard isReading else { return }
        for index in connections.indices.reversed() {
            guard let bytes = connections[index].peer.receive() else {
                connections[index].close()
                connections.remove(at: index)
                continue
            }
            for frame in try connections[index].reader.take(bytes) {
                FuzzServer.take(frame, mood, &connections[index])
            }
            FuzzServer.pump(&connections[index])
            guard connections[index].isClosing else { continue }
            connections[index].close()
            connections.remove(at: index)
        }
    }

    /// Requests that were kept waiting are answered.
    mutating func answerKept() {
        for index in connections.indices {
            let kept = connections[index].kept
            connections[index].kept = []
            for stream in kept { FuzzServer.answer(stream, .answers, &connections[index]) }
            FuzzServer.pump(&connections[index])
        }
    }

    /// A step that may break every rule, on the oldest connection.
    mutating func perform(_ step: FuzzStep) {
        guard !connections.isEmpty else { return }
        switch step {
        case .send(let bytes): connections[0].send(bytes)
        case .finishWriting: connections[0].peer.finishWriting()
        case .close: connections[0].peer.close()
        case .wait: break
        }
    }

    mutating func close() {
        for index in connections.indices { connections[index].close() }
        connections = []
    }

    /// The descriptors of its connections.
    var descriptors: [Int32] { connections.map(\.peer.descriptor) }

    // MARK: Frames

    private static func take(_ frame: FuzzFrameReader.Frame, _ mood: Mood, _ connection: inout Connection) {
        let head = frame.head
        switch head.type {
        case FrameType.settings:
            guard head.flags & 1 == 0 else { return }
            setWindow(frame.payload, &connection)
            connection.send(FuzzFrame.bytes(FrameType.settings, FrameFlag.acknowledgement))
        case FrameType.ping where head.flags & 1 == 0:
            connection.send(FuzzFrame.bytes(FrameType.ping, FrameFlag.acknowledgement, frame.payload))
        case FrameType.windowUpdate where frame.payload.count == 4:
            let more = frame.payload.reduce(0) { $0 << 8 | Int($1) }
            if head.stream == 0 { return connection.window += more }
            if let index = connection.sending.firstIndex(where: { $0.stream == head.stream }) {
                connection.sending[index].window += more
            } else {
                connection.granted[head.stream, default: 0] += more
            }
        case FrameType.resetStream:
            connection.kept.removeAll { $0 == head.stream }
            connection.sending.removeAll { $0.stream == head.stream }
        case FrameType.headers, FrameType.data:
            if head.type == FrameType.data, head.length > 0 {
                let size = withUnsafeBytes(of: UInt32(head.length).bigEndian) { Array($0) }
                connection.send(FuzzFrame.bytes(FrameType.windowUpdate, 0, size))
            }
            if head.has(FrameFlag.endStream) { answer(head.stream, mood, &connection) }
        default: break
        }
    }

    /// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.9.2).
    private static func setWindow(_ payload: [UInt8], _ connection: inout Connection) {
        for place in stride(from: 0, to: payload.count - 5, by: 6) where payload[place] == 0 && payload[place + 1] == 4
        {
            let size = payload[place + 2..<place + 6].reduce(0) { $0 << 8 | Int($1) }
            for index in connection.sending.indices {
                connection.sending[index].window += size - connection.firstWindow
            }
            connection.firstWindow = size
        }
    }

    private static func answer(_ stream: Int32, _ mood: Mood, _ connection: inout Connection) {
        func headers(_ flags: UInt8, _ block: [UInt8]) -> [UInt8] {
            FuzzFrame.bytes(FrameType.headers, FrameFlag.endHeaders | flags, stream: stream, block)
        }
        switch mood {
        case .answers, .large, .slow:
            connection.send(headers(0, FuzzServer.head))
            let granted = connection.granted.removeValue(forKey: stream) ?? 0
            // One that is slow sends its head and nothing else.
            guard mood != .slow else { return }
            connection.sending.append(
                Sending(
                    stream: stream, left: mood == .large ? 65_541 : 7, window: connection.firstWindow + granted))
        case .unavailable: connection.send(headers(FrameFlag.endStream, FuzzServer.unavailable))
        case .refuses: connection.send(FuzzFrame.bytes(FrameType.resetStream, stream: stream, [0, 0, 0, 7]))
        case .resets: connection.send(FuzzFrame.bytes(FrameType.resetStream, stream: stream, [0, 0, 0, 2]))
        case .page:
            connection.send(
                headers(0, FuzzServer.page)
                    + FuzzFrame.bytes(FrameType.data, 1, stream: stream, Array("<h1>503</h1>".utf8)))
        case .silent: connection.kept.append(stream)
        case .leaves:
            connection.send(FuzzFrame.bytes(FrameType.goAway, 0, [0, 0, 0, 0, 0, 0, 0, 0]))
            connection.isClosing = true
        case .closes: connection.isClosing = true
        }
    }

    /// Sends of all responses what the windows allow.
    private static func pump(_ connection: inout Connection) {
        for index in connection.sending.indices {
            while connection.sending[index].left > 0 {
                let size = min(
                    connection.sending[index].left, connection.sending[index].window, connection.window, 8192)
                guard size > 0 else { break }
                connection.send(
                    FuzzFrame.bytes(
                        FrameType.data, stream: connection.sending[index].stream,
                        body(connection.sending[index].left, size)))
                connection.sending[index].left -= size
                connection.sending[index].window -= size
                connection.window -= size
            }
            guard connection.sending[index].left == 0 else { continue }
            connection.send(
                FuzzFrame.bytes(FrameType.headers, 5, stream: connection.sending[index].stream, trailers))
        }
        connection.sending.removeAll { $0.left == 0 }
    }

    /// The next octets of one message of gRPC that has so many left.
    private static func body(_ left: Int, _ size: Int) -> [UInt8] {
        if left == 7 { return [0, 0, 0, 0, 2, 8, 1] }
        let start: [UInt8] = left == 65_541 ? [0, 0, 1, 0, 0] : []
        return start + [UInt8](repeating: 0x61, count: size - start.count)
    }
}
