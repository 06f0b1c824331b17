import CMoongate
import MoongateLua

/// `handle:httpCall(cluster, headers, body, timeout_ms[, asynchronous])`, also with a table of options: Envoy's call.
///
/// Failures are answers of their own, as there: `:status` 503, or 504 for a call that took too long.
enum HTTPCallBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "httpCall", "~std?v?v?",
                type: """
                    (upstream: string, headers: table<string, string|number|(string|number)[]>, body?: string|Buffer|GrpcMessage, \
                    timeout?: integer|{timeout_ms?: integer, asynchronous?: boolean, return_duplicate_headers?: boolean, \
                    send_xff?: boolean, trace_sampled?: boolean, forward?: string[]}, asynchronous?: boolean): \
                    table<string, string|string[]>, string?
                    """,
                doc: """
                    Sends a request to an upstream of the configuration and waits for the answer: its headers, among them \
                    `:status`, and its body, `nil` if it is empty. `timeout` is in milliseconds, 0 for none; in its place may \
                    stand a table with `timeout_ms`, `asynchronous`, `return_duplicate_headers`, `send_xff`, `trace_sampled` \
                    (no effect: there is no tracing), and, beyond Envoy, `forward`, as in `moon.http.request`. `body` may be a \
                    buffer or a gRPC message as well. With `asynchronous` nothing is waited for and nothing given, also in \
                    `on_log`. A call that fails gives `:status` 503, one that takes too long 504. \
                    As in Envoy; `moon.http` is the one to use in new policies.
                    """, httpCall)
        ]
    }

    private struct Options {
        var timeout: UInt64 = 0
        var isAsynchronous = false
        var returnsDuplicates = false
        var sendsForwardedFor = true
        var forwarded = ForwardedFields()
    }

    /// How long a call that nobody waits for may take if it has no timeout, in milliseconds.
    private static let longestAlone: UInt64 = 60_000

    private static let httpCall: mg_leaf = { call in
        var options = Options()
        if let fault = read(call, &options) { return call.fail(fault) }
        let upstream = call.bytes(0).string
        guard call.upstreams?.has(upstream) ?? false else {
            return call.fail("http call cluster invalid. Must be configured")
        }
        guard let table = call.value(1) else {
            return call.fail("http call headers must be texts, numbers or lists of them")
        }
        var headers = CallHeaders(table)
        guard headers.has(":path"), headers.has(":method"), headers.has(":authority") else {
            return call.fail(headers.fault ?? "http call headers must include ':path', ':method', and ':authority'")
        }
        let body = call.bytes(2)
        complete(&headers, call, options, body)
        if let fault = headers.fault { return call.fail("http call: \(fault)") }
        let made = call.makeCall()
        guard headers.write(to: made.request) else { return call.fail("http call headers are too large") }
        if let fault = options.forwarded.write(to: made.request, call) { return call.fail("http call: \(fault)") }
        made.body = Array(body.buffer)
        made.timeout = options.timeout &* 1_000_000
        let order = CallOrder(upstream: upstream, call: made)
        if options.isAsynchronous {
            if options.timeout == 0 { made.timeout = longestAlone &* 1_000_000 }
            return call.startAlone(order)
        }
        let returnsDuplicates = options.returnsDuplicates
        return call.wait(for: [order]) { failures in
            failures[0].map(results) ?? results(made, lists: returnsDuplicates)
        }
    }

    // MARK: Arguments

    private static func read(_ call: BindingCall, _ options: inout Options) -> CallMessage? {
        guard call.pointee.passed >= 4 else { return "bad argument #4 to 'httpCall' (number expected, got no value)" }
        if case .some(.table(let entries)) = call.value(3) {
            for entry in entries {
                if let fault = read(entry, &options) { return fault }
            }
            return nil
        }
        if let fault = readTimeout(call.value(3), &options) { return fault }
        guard call.pointee.passed >= 5 else { return nil }
        guard case .some(.bool(let isAsynchronous)) = call.value(4) else {
            return "http call asynchronous flag must be 'true', 'false', or empty"
        }
        options.isAsynchronous = isAsynchronous
        return nil
    }

    private static func read(_ entry: LuaValue.Entry, _ options: inout Options) -> CallMessage? {
        let key = entry.key.stringBytes.map { String(decoding: $0, as: UTF8.self) } ?? ""
        if key == "timeout_ms" { return readTimeout(entry.value, &options) }
        if key == "forward" { return options.forwarded.read(entry.value) }
        guard ["asynchronous", "return_duplicate_headers", "send_xff", "trace_sampled"].contains(key) else {
            return
                "\"(hidden)\" is not valid key for httpCall() options"
        }
        guard case .bool(let flag) = entry.value else { return "httpCall() option \"\(known: key)\" must be a boolean" }
        switch key {
        case "asynchronous": options.isAsynchronous = flag
        case "return_duplicate_headers": options.returnsDuplicates = flag
        case "send_xff": options.sendsForwardedFor = flag
        // Only spans of a tracer are sampled, in Envoy too.
        default: break
        }
        return nil
    }

    /// Whole milliseconds; fractions are cut off, and a text that is a number will do.
    private static func readTimeout(_ value: LuaValue?, _ options: inout Options) -> CallMessage? {
        let number: Double?
        switch value {
        case .integer(let integer): number = Double(integer)
        case .number(let given): number = given
        case .string(let text): number = Double(text)
        default: number = nil
        }
        guard let number, number.isFinite else {
            return
                "bad argument #4 to 'httpCall' (number expected, got \(value.map(typeName) ?? "function" as StaticString))"
        }
        guard number >= 0 else { return "http call timeout must be >= 0" }
        options.timeout = UInt64(exactly: min(number, 1e12).rounded(.towardZero)) ?? 0
        return nil
    }

    private static func typeName(_ value: LuaValue) -> StaticString {
        switch value {
        case .null: "nil"
        case .bool: "boolean"
        case .integer, .number: "number"
        case .string, .bytes: "string"
        case .list, .table: "table"
        }
    }

    /// What Envoy adds to every call.
    private static func complete(
        _ headers: inout CallHeaders, _ call: BindingCall, _ options: Options, _ body: Bytes
    ) {
        headers.setIfAbsent(":scheme", "http")
        headers.remove("content-length")
        if !body.isEmpty { headers.set("content-length", "\(body.count)") }
        headers.set("x-envoy-internal", "true")
        if options.timeout > 0 { headers.set("x-envoy-expected-rq-timeout-ms", "\(options.timeout)") }
        guard options.sendsForwardedFor, let address = call.run?.connectionFacts?.local.host else { return }
        let earlier = headers.value("x-forwarded-for").map { String(decoding: $0, as: UTF8.self) + "," } ?? ""
        headers.set("x-forwarded-for", earlier + address)
    }

    // MARK: Results

    private static func results(_ call: UpstreamCall, lists: Bool) -> [LuaValue] {
        [call.response.table(lists: lists), call.answer.isEmpty ? .null : .bytes(call.answer)]
    }

    private static func results(_ failure: UpstreamCall.Failure) -> [LuaValue] {
        let (status, text) = failure == .timeout ? ("504", "upstream request timeout") : ("503", "upstream failure")
        return [.table([LuaValue.Entry(.string(":status"), .string(status))]), .string(text)]
    }
}
