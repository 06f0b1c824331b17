/// What the edge of the fuzzer is configured as.
///
/// Routes choose by the path: `/u3/…` is the plain route of slot 3, and so on.
enum FuzzConfiguration {
    /// What a reload changes.
    struct Variation: OptionSet {
        let rawValue: UInt8
        /// Endpoints are made anew.
        static let endpoints = Variation(rawValue: 1)
        /// Other endpoints, limits and ways to balance.
        static let balance = Variation(rawValue: 2)
        /// The policies get another script engine.
        static let policies = Variation(rawValue: 4)
        /// One upstream of each slot is gone, with its route.
        static let fewer = Variation(rawValue: 8)
        /// The listener is gone, and another one there.
        static let listener = Variation(rawValue: 16)
    }

    static let listeners = ["front", "other"]

    static func text(_ sockets: FuzzSockets, _ variation: Variation) -> String {
        let slots = sockets.backends.indices
        let upstreams = slots.map { self.upstreams($0, sockets, variation) }.joined()
        let routes = slots.map { self.routes($0, variation) }.joined()
        let engine = variation.contains(.policies) ? "-- another one\\n" : ""
        return """
            workers: 1
            listeners:
              - name: \(variation.contains(.listener) ? listeners[1] : listeners[0])
                address: 127.0.0.1:1
                forwarded: {trusted: [127.0.0.0/8], trusted_hops: 1, forwarded: set}
                headers_with_underscores: allow
                request_id: keep
                limits: {request_buffer: 64KiB, response_buffer: 64KiB}
                policies:
                  - {name: heads, lua: "\(engine)\(escaped(FuzzPolicies.heads))"}
                  - {name: unused, lua: &bodies "\(escaped(FuzzPolicies.bodies))"}
            policies: {time_limit: 5s}
            upstreams:
            \(upstreams)
            routes:
            \(routes)
            """
    }

    private static func upstreams(_ slot: Int, _ sockets: FuzzSockets, _ variation: Variation) -> String {
        let port = sockets.backends[slot].port
        let timeout = variation.contains(.endpoints) ? "30ms" : "20ms"
        let bad = [sockets.refusing.port, sockets.silent.port, sockets.mute.port].map { "\"127.0.0.1:\($0)\"" }
        let failing = variation.contains(.balance) ? Array(bad.reversed()) : bad + ["\"127.0.0.1:\(port)\""]
        let balance = variation.contains(.balance) ? "least_request" : "round_robin"
        let limited = """
              l\(slot): {endpoints: ["127.0.0.1:\(port)"], limits: {max_connections: 1, max_pending_requests: 1, max_requests: 1, max_retries: 1}}

            """
        let plain = """
              u\(slot): {endpoints: ["127.0.0.1:\(port)"], connect_timeout: \(timeout)}

            """
        guard slot < FuzzEdge.worlds else { return plain }
        return plain + """
              f\(slot): {endpoints: [\(failing.joined(separator: ", "))], connect_timeout: \(timeout), balance: \(balance), outlier_detection: {consecutive_local_errors: 3}}
              d\(slot): {endpoints: ["slot\(slot).test:\(port)"], connect_timeout: \(timeout), dns_refresh: 1s}

            """ + (variation.contains(.fewer) ? "" : limited)
    }

    private static func routes(_ slot: Int, _ variation: Variation) -> String {
        let s = slot
        let limited = """
              - {name: l\(s), match: {path_prefix: /l\(s)/}, upstream: l\(s), retry: {on: [unavailable, reset], max_attempts: 3, backoff: {initial: 1ms, maximum: 2ms}}}

            """
        let hedge =
            "{methods: [\"*/*\"], max_attempts: 3, delay: 1ms, non_fatal: [unavailable, reset, connect_failure], buffer: 16KiB}"
        let often =
            "{on: [unavailable, reset, connect_failure, refused_stream, internal, 5xx], max_attempts: 4, buffer: 4KiB, per_try_timeout: 15ms, backoff: {initial: 1ms, maximum: 2ms}}"
        let calls = s == 0 ? "&calls \"\(escaped(FuzzPolicies.calls))\"" : "*calls"
        let plain = """
              - {name: b\(s), match: {path_prefix: /b\(s)/}, policies: [{name: bodies\(s), lua: *bodies}], upstream: u\(s), timeout: 10s}
              - {name: u\(s), match: {path_prefix: /u\(s)/}, upstream: u\(s), timeout: 10s, retry: {on: [unavailable, reset]}}

            """
        guard s < FuzzEdge.worlds else { return plain }
        return plain + """
              - {name: h\(s), match: {path_prefix: /h\(s)/}, upstream: u\(s), hedge: \(hedge)}
              - {name: g\(s), match: {path_prefix: /g\(s)/}, upstream: f\(s), hedge: \(hedge), mirror: [{upstream: f\(s)}]}
              - {name: m\(s), match: {path_prefix: /m\(s)/}, upstream: u\(s), mirror: [{upstream: u\(s)}, {upstream: f\(s)}, {upstream: d\(s), buffer: 1KiB}]}
              - {name: r\(s), match: {path_prefix: /r\(s)/}, upstream: f\(s), retry: \(often)}
              - {name: q\(s), match: {path_prefix: /q\(s)/}, policies: [{name: bodies\(s), lua: *bodies}], upstream: u\(s), retry: \(often), mirror: [{upstream: u\(s), percent: 50}]}
              - {name: d\(s), match: {path_prefix: /d\(s)/}, upstream: d\(s), timeout: 3s, retry: {on: [connect_failure]}}
              - {name: p\(s), match: {path_prefix: /p\(s)/}, policies: [{name: calls, lua: \(calls)}], upstream: u\(s), timeout: 5s}
              - {name: x\(s), match: {path_prefix: /x\(s)/}, upstream: u\(s), timeout: 100ms, idle_timeout: 50ms, hedge: \(hedge), mirror: [{upstream: u\(s)}\(variation.contains(.fewer) ? "" : ", {upstream: l\(s)}")]}

            """ + (variation.contains(.fewer) ? "" : limited)
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
