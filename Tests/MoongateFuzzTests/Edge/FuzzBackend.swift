@testable import Moongate

/// An upstream that keeps the rules: it answers every request as a gRPC server does.
struct FuzzBackend {
    private let edge: FuzzEdge
    private let number: Int
    private var connections: [(peer: FuzzPeer, reader: FuzzFrameReader)] = []

    init(_ edge: FuzzEdge, _ number: Int) {
        self.edge = edge
        self.number = number
    }

    /// Reads what has come and answers it.
    mutating func serve() throws {
        while let peer = edge.acceptUpstream(number) {
            peer.send(FuzzFrame.bytes(FrameType.settings))
            connections.append((peer, FuzzFrameReader(expectsPreface: true)))
        }
        for index in connections.indices.reversed() {
            guard let bytes = connections[index].peer.receive() else {
                connections[index].reader.free()
                connections[index].peer.close()
                connections.remove(at: index)
                continue
            }
            for frame in try connections[index].reader.take(bytes) {
                connections[index].peer.send(FuzzBackend.answer(to: frame))
            }
        }
    }

    mutating func close() {
        for index in connections.indices {
            connections[index].reader.free()
            connections[index].peer.close()
        }
        connections = []
    }

    private static let head = FuzzFrame.block([(":status", "200"), ("content-type", "application/grpc")])
    private static let trailers = FuzzFrame.block([("grpc-status", "0")])

    private static func answer(to frame: FuzzFrameReader.Frame) -> [UInt8] {
        let head = frame.head
        switch head.type {
        case FrameType.settings:
            return head.flags & 1 == 1 ? [] : FuzzFrame.bytes(FrameType.settings, FrameFlag.acknowledgement)
        case FrameType.ping where head.flags & 1 == 0:
            return FuzzFrame.bytes(FrameType.ping, FrameFlag.acknowledgement, frame.payload)
        case FrameType.headers, FrameType.data:
            var bytes: [UInt8] = []
            if head.type == FrameType.data, head.length > 0 {
                let size = withUnsafeBytes(of: UInt32(head.length).bigEndian) { Array($0) }
                bytes += FuzzFrame.bytes(FrameType.windowUpdate, 0, size)
            }
            guard head.has(FrameFlag.endStream) else { return bytes }
            return bytes
                + FuzzFrame.bytes(FrameType.headers, FrameFlag.endHeaders, stream: head.stream, FuzzBackend.head)
                + FuzzFrame.bytes(FrameType.data, stream: head.stream, [0, 0, 0, 0, 2, 8, 1])
                + FuzzFrame.bytes(FrameType.headers, 5, stream: head.stream, trailers)
        default: return []
        }
    }
}
