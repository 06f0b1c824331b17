import CMoongate
import MoongateLua

/// `moon.grpc`: unary gRPC calls to upstreams of the configuration.
enum GRPCBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "grpc.call", "~ssdt?",
                type: """
                    (upstream: string, path: string, message: string|Buffer|GrpcMessage, \
                    options?: {timeout?: number, metadata?: table, forward?: string[]}): string?, table|string, table?
                    """,
                doc: """
                    Makes a unary gRPC call to an upstream of the configuration and waits for the answer. `path` is \
                    `/package.Service/Method`; `message` and the first result are encoded messages, without gRPC's frame. \
                    `options` may have `timeout` in seconds (5), `metadata`, whose `-bin` values are bytes, and `forward`, names of \
                    headers of the client's request that go along as they are. `message` may be a gRPC message or a buffer, \
                    too. The second \
                    result has `status` (0), `message` and `trailers`. A call that fails gives `nil`, a text such as \
                    `"NOT_FOUND: no such user"`, `"timeout"` or `"unavailable: …"`, and the same table.
                    """, call)
        ]
    }

    private struct Options {
        var timeout = HTTPBinding.defaultTimeout
        var metadata = LuaValue.null
        var forwarded = ForwardedFields()
    }

    private static let call: mg_leaf = { call in
        var options = Options()
        if !call.isAbsent(3), let fault = read(call.value(3), &options) { return call.fail("moon.grpc.call: \(fault)") }
        let made = call.makeCall()
        let upstream = call.bytes(0).string
        guard call.upstreams?.has(upstream) ?? false else {
            return call.fail("moon.grpc.call: argument 1 names no upstream of the configuration")
        }
        if let fault = fill(made, upstream, call, options) { return call.fail("moon.grpc.call: \(fault)") }
        return call.wait(for: [CallOrder(upstream: upstream, call: made)]) { results(made, $0[0]) }
    }

    // MARK: The request

    private static func read(_ value: LuaValue?, _ options: inout Options) -> CallMessage? {
        guard case .table(let entries) = value else { return "options must be a table" }
        for entry in entries {
            switch entry.key {
            case .string("metadata"): options.metadata = entry.value
            case .string("forward"):
                if let fault = options.forwarded.read(entry.value) { return fault }
            case .string("timeout"):
                guard let seconds = entry.value.seconds, seconds > 0, seconds <= HTTPBinding.longestTimeout else {
                    return "timeout must be a number of seconds, more than 0 and at most 3600"
                }
                options.timeout = seconds
            default:
                let key = entry.key.stringBytes.map { String(decoding: $0, as: UTF8.self) } ?? ""
                return .unknown("option", key, among: ["forward", "metadata", "timeout"])
            }
        }
        return nil
    }

    private static func fill(
        _ made: UpstreamCall, _ upstream: String, _ call: BindingCall, _ options: Options
    ) -> CallMessage? {
        var headers = CallHeaders(encoded(options.metadata))
        headers.set(":method", "POST")
        headers.set(":scheme", "http")
        headers.set(":path", Array(call.bytes(1).buffer))
        headers.setIfAbsent(":authority", upstream)
        headers.set("te", "trailers")
        headers.set("content-type", "application/grpc")
        headers.remove("content-length")
        made.timeout = HTTPOrder.nanoseconds(options.timeout)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: GRPCTimeout.maximumLength) { buffer in
            guard let base = buffer.baseAddress else { return }
            let count = GRPCTimeout.write(remaining: Int64(clamping: made.timeout), to: base)
            headers.set("grpc-timeout", Array(UnsafeBufferPointer(start: base, count: count)))
        }
        if let fault = headers.fault { return fault }
        guard headers.write(to: made.request) else { return "the metadata is too large" }
        if let fault = options.forwarded.write(to: made.request, call) { return fault }
        made.body = framed(Array(call.bytes(2).buffer))
        return nil
    }

    /// A message behind its prefix: not compressed, its length in four octets.
    static func framed(_ message: [UInt8]) -> [UInt8] {
        let length = UInt32(clamping: message.count)
        return [0] + withUnsafeBytes(of: length.bigEndian) { Array($0) } + message
    }

    /// Metadata with the values of `-bin` names in Base64, as they go over the wire.
    static func encoded(_ metadata: LuaValue) -> LuaValue {
        guard case .table(let entries) = metadata else { return metadata }
        return .table(
            entries.map { entry in
                guard isBinary(entry.key) else { return entry }
                if case .list(let values) = entry.value {
                    return LuaValue.Entry(entry.key, .list(values.map(base64)))
                }
                return LuaValue.Entry(entry.key, base64(entry.value))
            })
    }

    private static func isBinary(_ name: LuaValue) -> Bool {
        name.stringBytes.map { String(decoding: $0, as: UTF8.self).lowercased().hasSuffix("-bin") } ?? false
    }

    static func base64(_ value: LuaValue) -> LuaValue {
        guard let bytes = value.stringBytes else { return value }
        let encoded = [UInt8](unsafeUninitializedCapacity: Base64.encodedCount(bytes.count) + 1) { buffer, count in
            count = Base64.encodedCount(bytes.count)
            if let base = buffer.baseAddress { _ = bytes.withBytes { Base64.encode($0, to: base) } }
        }
        return .bytes(encoded)
    }

    // MARK: The answer

    private static func results(_ made: UpstreamCall, _ failure: UpstreamCall.Failure?) -> [LuaValue] {
        switch failure {
        case nil: break
        case .timeout: return failed(.deadlineExceeded, "timeout", made)
        case .tooLarge: return failed(.resourceExhausted, "the response is too large", made)
        case .headTooLarge(let size):
            return failed(.resourceExhausted, UpstreamCall.Failure.headTooLarge(size).text, made)
        case .some(let other): return failed(.unavailable, other.text, made)
        }
        // A trailers-only answer has its status in the head.
        let trailers = made.trailers.first(.grpcStatus) == nil ? made.response : made.trailers
        guard let code = trailers.value(.grpcStatus) else {
            let status = made.response.value(.status).map(HTTPStatus.parse) ?? 0
            return failed(GRPCStatus(httpStatus: status), "HTTP status \(status) without grpc-status", made)
        }
        let status = GRPCStatus(parsing: code) ?? .unknown
        let message = trailers.value(.grpcMessage).map(decoded) ?? ""
        guard status == .ok else { return refused(status, message, trailers) }
        guard let answer = onlyMessage(of: made.answer) else {
            return failed(.internal, "the answer is not one message without compression", made)
        }
        return [.bytes(answer), info(.ok, message, trailers)]
    }

    private static func refused(
        _ status: GRPCStatus, _ message: String, _ trailers: HeaderList
    ) -> [LuaValue] {
        let text = message.isEmpty ? "\(status.name)" : "\(status.name): \(message)"
        return [.null, .string(text), info(status, message, trailers)]
    }

    /// The server said nothing that counts.
    private static func failed(_ status: GRPCStatus, _ text: String, _ made: UpstreamCall) -> [LuaValue] {
        [.null, .string(text), info(status, text, made.trailers)]
    }

    private static func info(
        _ status: GRPCStatus, _ message: String, _ trailers: HeaderList
    ) -> LuaValue {
        .table([
            LuaValue.Entry(.string("status"), .integer(Int64(status.rawValue))),
            LuaValue.Entry(.string("message"), .string(message)),
            LuaValue.Entry(.string("trailers"), trailers.table(lists: true, skipping: Bytes(":status"))),
        ])
    }

    /// The only message of a body.
    private static func onlyMessage(of body: [UInt8]) -> [UInt8]? {
        guard body.count >= 5, body[0] == 0 else { return nil }
        let length = body[1..<5].reduce(0) { $0 << 8 | Int($1) }
        return length == body.count - 5 ? Array(body[5...]) : nil
    }

    private static func decoded(_ text: Bytes) -> String {
        let bytes = [UInt8](unsafeUninitializedCapacity: text.count + 1) { buffer, count in
            count = buffer.baseAddress.map { GRPCMessageText.decode(text, to: $0) } ?? 0
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
