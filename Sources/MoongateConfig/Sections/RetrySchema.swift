extension ValueType<GRPCTimeoutConfig> {
    static var grpcTimeout: ValueType {
        .mapping(
            MappingSchema(
                name: "grpc timeout", summary: "What counts in place of, or against, the client's `grpc-timeout`.",
                initial: GRPCTimeoutConfig(),
                fields: [
                    Field(
                        "default", \.absent, .duration(.zero ... .seconds(86400)),
                        "For gRPC calls without `grpc-timeout`; `0s`: none."),
                    Field(
                        "maximum", \.maximum, .duration(.zero ... .seconds(86400)),
                        "A longer `grpc-timeout` is cut to this; `0s`: any counts."),
                ]))
    }
}

/// The keys of `retry` as they stand in the file.
private struct RetryDraft {
    var on: [RetryConfig.Condition] = []
    var maxAttempts = RetryConfig(on: []).maxAttempts
    var perTryTimeout = RetryConfig(on: []).perTryTimeout
    var backoff = RetryConfig.Backoff()
    var buffer = RetryConfig(on: []).buffer
}

extension ValueType<RetryConfig> {
    static var retry: ValueType {
        let schema = MappingSchema(
            name: "retry",
            summary: "When and how often a request is sent again, to another endpoint if there is one.",
            initial: RetryDraft(),
            fields: [
                Field(
                    "on", \.on, .list(of: .choice(), atLeast: 1, identity: { $0.rawValue }), required: true,
                    "How an attempt has to end for another one to follow: a gRPC status, in the head or in trailers, or"
                        + " what happened to the stream or its connection."),
                Field("max_attempts", \.maxAttempts, .integer(2...10), "Attempts in all, the first one included."),
                Field(
                    "per_try_timeout", \.perTryTimeout, .duration(.zero ... .seconds(86400)),
                    "Longest time from the start of an attempt to the first bytes of its response; `0s`: no limit."),
                Field("backoff", \.backoff, .backoff, "The pause between two attempts."),
                Field(
                    "buffer", \.buffer, .size(0...16 << 20),
                    "The most request bytes that are kept for another attempt; a longer request is sent once."),
            ])
        return .mapping(schema) { draft, _, _ in
            RetryConfig(
                on: draft.on, maxAttempts: draft.maxAttempts, perTryTimeout: draft.perTryTimeout,
                backoff: draft.backoff, buffer: draft.buffer)
        }
    }
}

extension ValueType<RetryConfig.Backoff> {
    fileprivate static var backoff: ValueType {
        .mapping(
            MappingSchema(
                name: "backoff",
                summary: "The pause before another attempt: doubled each time, spread by 20 % either way.",
                initial: RetryConfig.Backoff(),
                fields: [
                    Field(
                        "initial", \.initial, .duration(.milliseconds(1) ... .seconds(60)),
                        "The pause before the second attempt."),
                    Field(
                        "maximum", \.maximum, .duration(.milliseconds(1) ... .seconds(600)), "The longest pause."),
                ])
        ) { backoff, mapping, decoding in
            if backoff.maximum < backoff.initial {
                decoding.report(
                    mapping.location(of: "maximum"), "backoff's \"maximum\" is shorter than its \"initial\"")
            }
            return backoff
        }
    }
}

/// The keys of `hedge` as they stand in the file.
private struct HedgeDraft {
    var methods: [String] = []
    var maxAttempts = HedgeConfig(methods: []).maxAttempts
    var delay = HedgeConfig(methods: []).delay
    var nonFatal = HedgeConfig(methods: []).nonFatal
    var buffer = HedgeConfig(methods: []).buffer
}

extension ValueType<HedgeConfig> {
    static var hedge: ValueType {
        let schema = MappingSchema(
            name: "hedge",
            summary:
                "Several attempts at a time at calls that are safe to repeat: the first answer counts, the other attempts"
                + " are cancelled.",
            initial: HedgeDraft(),
            fields: [
                Field(
                    "methods", \.methods, .list(of: .safeMethod, atLeast: 1), required: true,
                    "The methods that are safe to repeat: `helloworld.Greeter/SayHello`, or with stars:"
                        + " `helloworld.Greeter/Get*`."),
                Field("max_attempts", \.maxAttempts, .integer(2...5), "Attempts in all, the first one included."),
                Field(
                    "delay", \.delay, .duration(.milliseconds(1) ... .seconds(60)),
                    "How long an attempt may take before the next one is made beside it."),
                Field(
                    "non_fatal", \.nonFatal, .list(of: .choice(), identity: { $0.rawValue }),
                    "How an attempt may end without being the call's answer, as in `retry`. Default: `[unavailable]`."),
                Field(
                    "buffer", \.buffer, .size(0...16 << 20),
                    "The most request bytes that are kept for another attempt; a longer request is sent once."),
            ])
        return .mapping(schema) { draft, _, _ in
            HedgeConfig(
                methods: draft.methods, maxAttempts: draft.maxAttempts, delay: draft.delay,
                nonFatal: draft.nonFatal, buffer: draft.buffer)
        }
    }
}

extension ValueType<String> {
    /// A method, or several by a pattern with stars.
    fileprivate static var safeMethod: ValueType {
        let shape = TextShape(name: "method", pattern: #"^[A-Za-z0-9_.*]+/[A-Za-z0-9_*]+$"#).shown
        return .text(shape, expected: "a method such as helloworld.Greeter/SayHello") {
            text, _ throws(SyntaxFault) in
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            // Dots alone are segments that no request has.
            let isSound =
                parts.count == 2 && parts[0] != "." && parts[0] != ".."
                && parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(isNameByte) }
            guard isSound else {
                throw SyntaxFault(
                    "\(quoted(text)) names no method",
                    hint: "write it like helloworld.Greeter/SayHello or helloworld.Greeter/Get*")
            }
            return text
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "*"):
            true
        default: false
        }
    }
}
