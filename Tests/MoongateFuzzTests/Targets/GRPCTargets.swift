@testable import Moongate

/// What gRPC puts into headers and bodies.
extension FuzzTarget {
    static let grpcTexts = [grpcTimeout, grpcMessageText, grpcBodies, healthAnswer, serviceMessage]

    private static let grpcTimeout = FuzzTarget("grpc-timeout", longestInput: 64) { bytes in
        _ = RetryPushback(bytes.view)
        guard let parsed = GRPCTimeout.parse(bytes.view) else { return }
        try Violation.check(parsed >= 0, "a time in the past")
        let written = [UInt8].filled(GRPCTimeout.maximumLength) { GRPCTimeout.write(remaining: parsed, to: $0) }
        let again = written.withView { GRPCTimeout.parse($0) }
        try Violation.check(again != nil, "\(written) is no grpc-timeout")
        // Rounded down to the unit, which is a hundred-millionth at most; 0 becomes the least that there is.
        let lost = Double(max(parsed, 1)) - Double(again ?? 0)
        try Violation.check(
            lost >= 0 && lost <= Double(max(parsed, 1)) / 1_000_000, "\(parsed) ns became \(again ?? 0)")
    }

    /// `grpc-message`: what is encoded is decoded again, and every text can be decoded.
    private static let grpcMessageText = FuzzTarget("grpc-message", longestInput: 1024) { bytes in
        let count = GRPCMessageText.encodedCount(bytes.view)
        let encoded = [UInt8].filled(count) { target in
            GRPCMessageText.encode(bytes.view, to: target)
            return count
        }
        try Violation.check(encoded.allSatisfy { $0 >= 0x20 && $0 <= 0x7e }, "what no header can hold")
        let decoded = [UInt8].filled(count) { target in
            encoded.withView { GRPCMessageText.decode($0, to: target) }
        }
        try Violation.check(decoded == Array(bytes), "encoded and decoded it is another text")
        _ = [UInt8].filled(bytes.count) { GRPCMessageText.decode(bytes.view, to: $0) }
        let cut = GRPCMessageText.cut(bytes.view, to: 16)
        try Violation.check(cut.count <= bytes.count && cut.count <= max(16, 0), "longer than the limit")
    }

    /// A body in pieces, each behind its length. Two readers of messages must agree.
    private static let grpcBodies = FuzzTarget("grpc-bodies", longestInput: 2048) { bytes in
        var input = FuzzInput(bytes)
        let limit = Int(input.byte()) * 4
        var tracker = GRPCMessageTracker()
        var reader = GRPCMessageReader(limit: limit)
        var chunks = PolicyChunks()
        var messages: UInt64 = 0
        while !input.isAtEnd {
            let piece = input.text()
            guard !piece.isEmpty else { continue }
            piece.withView { tracker.consume($0) }
            let buffer = PolicyBuffer()
            piece.withView { buffer.append($0) }
            chunks.append(buffer)
            reading: while true {
                switch reader.next(&chunks) {
                case .message(let message):
                    messages += 1
                    try Violation.check(message.payload.count <= limit, "a message over the limit")
                case .incomplete: break reading
                case .tooLarge: return
                }
            }
            try Violation.check(messages == tracker.messages, "\(messages) messages, or \(tracker.messages)")
            try Violation.check(reader.isEmpty == tracker.isAtBoundary, "two opinions on where a message ends")
        }
    }

    /// A `HealthCheckResponse`.
    private static let healthAnswer = FuzzTarget("grpc-health", longestInput: 256) { bytes in
        _ = GRPCHealth.serving(in: Array(bytes))
    }

    /// SRV records in a DNS message.
    private static let serviceMessage = FuzzTarget("dns-srv", longestInput: 1024) { bytes in
        guard let found = ServiceMessage.records(of: Array(bytes)) else { return }
        for record in found.records {
            try Violation.check(record.target.utf8.count <= 253, "a name longer than names are")
            try Violation.check(
                record.target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }, "a name with what no name has")
        }
    }
}
