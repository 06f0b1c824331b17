@testable import Moongate

/// Whole connections: frames of every kind against a worker with its policies, from either side.
extension FuzzTarget {
    static let connections = [client, upstream]

    /// The edge of this thread; its upstreams take turns.
    private static let stage = Locked<FuzzStage?>(nil)

    private static func withStage(_ body: (FuzzStage) throws -> Void) throws {
        try stage.withLock { stage in
            let current = try stage ?? FuzzStage()
            stage = current
            try body(current)
        }
    }

    /// What the worlds of this process have seen.
    static func worldCounts() throws -> [FuzzTally.Event: Int] {
        var counts: [FuzzTally.Event: Int] = [:]
        try withStage { counts = $0.counts() }
        return counts
    }

    /// A client that does what the input says, and an upstream that keeps the rules.
    private static let client = FuzzTarget("client-connection", longestInput: 4096) { bytes in
        try withStage { try $0.playClient(FuzzInput(bytes)) }
    }

    /// A client with three calls, and an upstream that does what the input says.
    private static let upstream = FuzzTarget("upstream-connection", longestInput: 4096) { bytes in
        try withStage { try $0.playUpstream(FuzzInput(bytes)) }
    }
}

/// Plays one input after the other on one edge.
final class FuzzStage {
    private let statsRow = FuzzTally()
    private let edge: FuzzEdge
    private var number = 0

    init() throws { edge = try FuzzEdge() }

    /// The slot of the next input.
    private func next(isWorld: Bool) throws -> Int {
        number = (number + 1) % FuzzEdge.worlds
        try edge.reset()
        return isWorld ? number : FuzzEdge.worlds + number
    }

    /// The highest bit of an input's first byte says that it is the script of a whole world, the others with which mood its
    /// server begins.
    private func playWorld(_ script: FuzzInput, mood: UInt8) throws {
        let moods = FuzzServer.Mood.allCases
        var world = FuzzWorld(
            edge, slot: try next(isWorld: true), mood: moods[Int(mood & 0x7f) % moods.count], statsRow)
        try world.play(script)
    }

    /// What all inputs so far have led to.
    func counts() -> [FuzzTally.Event: Int] {
        statsRow.read(edge)
        return statsRow.counts
    }

    private static func request(_ path: String, _ more: [(String, String)] = []) -> [UInt8] {
        let fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "example.com"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
        return FuzzFrame.block(fields + more)
    }

    /// Requests that make sense.
    static func heads(_ number: Int) -> [[UInt8]] {
        [
            FuzzStage.request("/u\(number)/a"), FuzzStage.request("/b\(number)/a", [("x-whole", "1")]),
            FuzzStage.request("/b\(number)/a", [("x-chunks", "1")]), FuzzStage.request("/none"),
            FuzzStage.request("/u\(number)/a?a=%20b", [("cookie", "a=b; c"), ("x-text", "{\"a\": [1, \"%41\"]}")]),
            FuzzStage.request("/u\(number)/a", [("grpc-timeout", "1m"), ("x-data-bin", "AAE")]),
            FuzzStage.request("/u\(number)/a", [("content-length", "3"), ("authorization", "Basic YTpi")]),
            FuzzFrame.block([("grpc-status", "0")]),
        ]
    }

    private static let opening = FuzzFrame.preface + FuzzFrame.bytes(FrameType.settings)

    func playClient(_ script: FuzzInput) throws {
        var input = script
        let modes = input.byte()
        guard modes & 0x80 == 0 else { return try playWorld(input, mood: modes) }
        let number = try next(isWorld: false)
        let heads = FuzzStage.heads(number)
        var backend = FuzzBackend(edge, number)
        defer { backend.close() }
        var client = try edge.connectClient()
        var reader = FuzzFrameReader(expectsPreface: false)
        defer {
            reader.free()
            client.close()
        }
        if modes & 1 == 0 { client.send(FuzzStage.opening) }
        func turn() throws {
            for _ in 0..<3 {
                edge.turn()
                try backend.serve()
            }
            if let bytes = client.receive() { _ = try reader.take(bytes) }
        }
        while !input.isAtEnd {
            let (step, isTurn) = FuzzStep.next(&input, heads: heads)
            FuzzStage.perform(step, by: &client)
            if case .wait = step { try turn() } else if isTurn { try turn() }
        }
        try turn()
        try turn()
        client.close()
        edge.turn(2)
        try edge.checkIdle()
        backend.close()
        edge.turn(2)
    }

    func playUpstream(_ script: FuzzInput) throws {
        var input = script
        let modes = input.byte()
        guard modes & 0x80 == 0 else { return try playWorld(input, mood: modes) }
        let number = try next(isWorld: false)
        var client = try edge.connectClient()
        var answers = FuzzFrameReader(expectsPreface: false)
        defer {
            answers.free()
            client.close()
        }
        client.send(FuzzStage.calls(number, modes))
        var upstream: FuzzPeer?
        var requests = FuzzFrameReader(expectsPreface: true)
        defer {
            requests.free()
            upstream?.close()
        }
        func turn() throws {
            for _ in 0..<3 { edge.turn() }
            if let next = edge.acceptUpstream(number) {
                upstream?.close()
                upstream = next
                requests.free()
                requests = FuzzFrameReader(expectsPreface: true)
                if modes & 1 == 0 { next.send(FuzzFrame.bytes(FrameType.settings)) }
                edge.turn(2)
            }
            if let bytes = upstream?.receive() { _ = try requests.take(bytes) }
            if let bytes = client.receive() { _ = try answers.take(bytes) }
        }
        try turn()
        while !input.isAtEnd {
            let (step, isTurn) = FuzzStep.next(&input, heads: FuzzStage.responses)
            if var peer = upstream {
                FuzzStage.perform(step, by: &peer)
                upstream = peer
            }
            if case .wait = step { try turn() } else if isTurn { try turn() }
        }
        try turn()
        upstream?.close()
        upstream = nil
        edge.turn(2)
        try turn()
        client.close()
        edge.turn(2)
        try edge.checkIdle()
        upstream?.close()
        upstream = nil
        edge.turn(2)
    }

    /// Streams 1, 3 and 5: one that is complete, one whose body stays open, one through policies that read bodies.
    private static func calls(_ number: Int, _ modes: UInt8) -> [UInt8] {
        let message: [UInt8] = [0, 0, 0, 0, 2, 8, 1]
        let whole = modes & 2 == 0 ? [("x-whole", "1")] : []
        return opening + FuzzFrame.bytes(FrameType.headers, 4, stream: 1, request("/u\(number)/a"))
            + FuzzFrame.bytes(FrameType.data, 1, stream: 1, message)
            + FuzzFrame.bytes(FrameType.headers, 4, stream: 3, request("/u\(number)/b"))
            + FuzzFrame.bytes(FrameType.data, 0, stream: 3, message)
            + FuzzFrame.bytes(FrameType.headers, 4, stream: 5, request("/b\(number)/c", whole))
            + FuzzFrame.bytes(FrameType.data, 1, stream: 5, message)
    }

    static let responses = [
        FuzzFrame.block([(":status", "200"), ("content-type", "application/grpc")]),
        FuzzFrame.block([("grpc-status", "0"), ("grpc-message", "fine%20")]),
        FuzzFrame.block([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14")]),
        FuzzFrame.block([(":status", "103"), ("link", "</a>")]), FuzzFrame.block([(":status", "503")]),
        FuzzFrame.block([(":status", "200"), ("content-length", "7"), ("set-cookie", "a=b")]),
        FuzzFrame.block([("grpc-status", "14"), ("grpc-retry-pushback-ms", "0")]),
    ]

    private static func perform(_ step: FuzzStep, by peer: inout FuzzPeer) {
        switch step {
        case .send(let bytes): peer.send(bytes)
        case .finishWriting: peer.finishWriting()
        case .close: peer.close()
        case .wait: break
        }
    }
}
