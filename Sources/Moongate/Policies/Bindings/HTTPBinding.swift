import CMoongate
import MoongateLua

/// `moon.http`: requests to upstreams of the configuration, one or several at a time.
enum HTTPBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "http.request", "~r",
                type: """
                    (request: {upstream: string, path: string, method?: string, authority?: string, headers?: table, \
                    forward?: string[], body?: string|Buffer|GrpcMessage, timeout?: number}): {status: integer, headers: table, body: string, trailers: table}?, \
                    string?
                    """,
                doc: """
                    Sends a request to an upstream of the configuration and waits for the answer. `request` has `upstream` and \
                    `path`, and may have `method` (`GET`), `authority` (the upstream's name), `headers`, `forward`, `body` \
                    and `timeout` in seconds (5). `forward` names headers of the client's request that go along as they are; \
                    one that stands in `headers` as well is taken from there. `body` may be a buffer or a gRPC message, whose \
                    bytes go without becoming a string. The answer is a table with `status` (a number), `headers`, `body` and `trailers`; names \
                    that come several times have a list. Without an answer: `nil` and the reason, `"timeout"` or a text that \
                    begins with `"unavailable: "` or `"reset: "`.
                    """, request),
            LuaBinding(
                "http.get", "~ssr?",
                type: "(upstream: string, path: string, options?: table): table?, string?",
                doc: "`moon.http.request` with the method `GET`; `options` are its other fields.", get),
            LuaBinding(
                "http.post", "~ssd?r?",
                type: """
                    (upstream: string, path: string, body?: string|Buffer|GrpcMessage, options?: table): table?, string?
                    """,
                doc: "`moon.http.request` with the method `POST` and a body; `options` are its other fields.", post),
            LuaBinding(
                "parallel", "~r", type: "(requests: table[]): table[]",
                doc: """
                    Sends several requests, as `moon.http.request` takes them, at the same time and waits for all answers. The \
                    results are in the order of the requests; one without an answer has only `error`, the reason.
                    """, parallel),
            LuaBinding(
                "upstream", "s", type: "(name: string): string",
                doc: """
                    The name, if the configuration has an upstream called so; else an error. In `on_init` a mistake in a \
                    policy's settings then shows when the configuration is loaded, and not with the first request.
                    """, upstream),
        ]
    }

    /// Seconds, for requests that say nothing else.
    static let defaultTimeout = 5.0
    /// Seconds; also the longest `timeout`.
    static let longestTimeout = 3600.0

    private static let request: mg_leaf = { call in
        var order = HTTPOrder()
        if let fault = order.read(call.value(0), isWhole: true) { return call.fail("moon.http.request: \(fault)") }
        return send(call, order, as: "moon.http.request")
    }

    private static let get: mg_leaf = { call in
        var order = HTTPOrder(upstream: call.bytes(0).string, path: Array(call.bytes(1).buffer))
        return send(call, &order, options: 2, as: "moon.http.get")
    }

    private static let post: mg_leaf = { call in
        var order = HTTPOrder(upstream: call.bytes(0).string, path: Array(call.bytes(1).buffer))
        order.method = Array("POST".utf8)
        order.body = Array(call.bytes(2).buffer)
        return send(call, &order, options: 3, as: "moon.http.post")
    }

    private static func send(
        _ call: BindingCall, _ order: inout HTTPOrder, options: Int, as name: StaticString
    ) -> mg_action {
        if !call.isAbsent(options), let fault = order.read(call.value(options), isWhole: false) {
            return call.fail("\(name): \(fault)")
        }
        return send(call, order, as: name)
    }

    private static func send(_ call: BindingCall, _ order: HTTPOrder, as name: StaticString) -> mg_action {
        let made = call.makeCall()
        if let fault = order.fill(made, call) { return call.fail("\(name): \(fault)") }
        return call.wait(for: [CallOrder(upstream: order.upstream, call: made)]) { failures in
            failures[0].map { [.null, .string($0.text)] } ?? [response(made)]
        }
    }

    private static let parallel: mg_leaf = { call in
        let values: [LuaValue]
        switch call.value(0) {
        case .list(let list): values = list
        case .table(let entries) where entries.isEmpty: return call.give(.list([]))
        default: return call.fail("moon.parallel: a list of requests is needed")
        }
        var orders: [CallOrder] = []
        for (index, value) in values.enumerated() {
            var order = HTTPOrder()
            let made = call.makeCall()
            if let fault = order.read(value, isWhole: true) ?? order.fill(made, call) {
                return call.fail("moon.parallel: request \(index + 1): \(fault)")
            }
            orders.append(CallOrder(upstream: order.upstream, call: made))
        }
        let calls = orders.map(\.call)
        return call.wait(for: orders) { failures in
            let results = zip(calls, failures).map { call, failure in
                failure.map { .table([LuaValue.Entry(.string("error"), .string($0.text))]) } ?? response(call)
            }
            return [.list(results)]
        }
    }

    private static func response(_ call: UpstreamCall) -> LuaValue {
        let status = call.response.value(.status).map(HTTPStatus.parse) ?? 0
        return .table([
            LuaValue.Entry(.string("status"), .integer(Int64(status))),
            LuaValue.Entry(.string("headers"), call.response.table(lists: true, skipping: Bytes(":status"))),
            LuaValue.Entry(.string("body"), .bytes(call.answer)),
            LuaValue.Entry(.string("trailers"), call.trailers.table(lists: true)),
        ])
    }

    // MARK: Names

    private static let upstream: mg_leaf = { call in
        guard let engine = call.engine else { return call.fail("there are no upstreams here") }
        let name = call.bytes(0).string
        let isKnown: Bool
        if engine.loading >= 0 {
            isKnown = engine.upstreamNames.contains(name)
            engine.askedUpstreams[name] = isKnown
        } else {
            isKnown = call.upstreams?.has(name) ?? false
        }
        guard isKnown else {
            let names = engine.host?.newest?.program.upstreams ?? engine.upstreamNames
            let failure = call.fail(.unknown("upstream", name, among: names.sorted()))
            // The name stands in the settings: no line of the script is at fault.
            return engine.loading >= 0 ? MG_REFUSE : failure
        }
        call.give(call.bytes(0))
        return MG_RETURN
    }
}

/// A request as scripts describe it to `moon.http`.
struct HTTPOrder {
    var upstream = ""
    var path: [UInt8] = []
    var method = Array("GET".utf8)
    var body: [UInt8] = []
    private var authority: [UInt8]?
    private var headers = LuaValue.null
    private var forwarded = ForwardedFields()
    private var timeout = HTTPBinding.defaultTimeout

    init() {}

    init(upstream: String, path: [UInt8]) {
        self.upstream = upstream
        self.path = path
    }

    /// Takes over the fields of a table. Gives what is wrong with it.
    ///
    /// - Parameter isWhole: upstream and path stand in the table, too.
    mutating func read(_ value: LuaValue?, isWhole: Bool) -> CallMessage? {
        guard case .table(let entries) = value else { return "a table with fields is needed" }
        for entry in entries {
            let key = entry.key.stringBytes.map { String(decoding: $0, as: UTF8.self) } ?? ""
            if let fault = read(key, entry.value, isWhole) { return fault }
        }
        if upstream.isEmpty { return "upstream is missing" }
        return path.isEmpty ? "path is missing" : nil
    }

    private mutating func read(_ key: String, _ value: LuaValue, _ isWhole: Bool) -> CallMessage? {
        switch key {
        case "headers":
            headers = value
            return nil
        case "forward": return forwarded.read(value)
        case "timeout":
            guard let seconds = value.seconds, seconds > 0, seconds <= HTTPBinding.longestTimeout else {
                return "timeout must be a number of seconds, more than 0 and at most 3600"
            }
            timeout = seconds
            return nil
        case "upstream" where isWhole, "path" where isWhole, "method", "authority", "body":
            guard let text = value.stringBytes else {
                return key == "body" ? "body must be a text or a buffer" : "\(known: key) must be a text"
            }
            set(key, text)
            return nil
        default:
            let known = ["authority", "body", "forward", "headers", "method", "timeout"]
            return .unknown("field", key, among: isWhole ? known + ["path", "upstream"] : known)
        }
    }

    private mutating func set(_ key: String, _ text: [UInt8]) {
        switch key {
        case "upstream": upstream = String(decoding: text, as: UTF8.self)
        case "path": path = text
        case "method": method = text
        case "authority": authority = text
        default: body = text
        }
    }

    /// Writes the request. Gives what is wrong with it.
    func fill(_ made: UpstreamCall, _ call: UnsafeMutablePointer<mg_call>) -> CallMessage? {
        guard call.upstreams?.has(upstream) ?? false else { return "upstream names no upstream of the configuration" }
        var fields = CallHeaders(headers)
        fields.set(":method", method)
        fields.set(":scheme", Array("http".utf8))
        fields.set(":path", path)
        if let authority { fields.set(":authority", authority) }
        fields.setIfAbsent(":authority", upstream)
        fields.remove("content-length")
        if !body.isEmpty { fields.set("content-length", "\(body.count)") }
        if let fault = fields.fault { return fault }
        guard fields.write(to: made.request) else { return "the headers are too large" }
        if let fault = forwarded.write(to: made.request, call) { return fault }
        made.body = body
        made.timeout = HTTPOrder.nanoseconds(timeout)
        return nil
    }

    /// - Parameter seconds: not negative, and at most some years.
    static func nanoseconds(_ seconds: Double) -> UInt64 {
        UInt64(exactly: (min(max(seconds, 0), 1e9) * 1e9).rounded()) ?? 0
    }
}

extension LuaValue {
    /// A number, whole or not.
    var seconds: Double? {
        switch self {
        case .integer(let integer): Double(integer)
        case .number(let number): number.isFinite ? number : nil
        default: nil
        }
    }
}
