import CMoongate
import Glibc
import MoongateLua

/// Where a request goes and how long it may take: methods of the handle for request hooks.
enum DestinationBinding {
    /// Upstreams that one `canary` may choose among.
    private static let choiceLimit = 64

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "setUpstreamOverrideHost", "sb?", type: "(host: string, strict?: boolean)",
                doc: """
                    Sends the request to the endpoint at this address (`10.0.0.1:50051`; without a port any at the \
                    address), if the upstream has it and it is usable. With `strict` to that one or to none: then the \
                    request fails with `no healthy upstream`. In the response hook nothing happens.
                    """, overrideHost),
            LuaBinding(
                "setEndpoint", "sb?", type: "(endpoint: string, strict?: boolean)",
                doc: """
                    The same as `setUpstreamOverrideHost`, but only for request hooks: elsewhere it raises an error.
                    """, setEndpoint),
            LuaBinding(
                "setHashKey", "s", type: "(key: string)",
                doc: """
                    Requests with the same key take the same of the route's weighted upstreams, and the same endpoint \
                    of an upstream as long as that is usable. In the request hook only.
                    """, setHashKey),
            LuaBinding(
                "setTimeout", "n", type: "(milliseconds: number)",
                doc: """
                    The longest time from the request's head to the end of the response, in place of the route's \
                    `timeout`; 0: no limit. A shorter `grpc-timeout` of the caller still counts. In the request hook \
                    only.
                    """, setTimeout),
            LuaBinding(
                "upstreams", "s",
                type: "(name: string): {endpoint: string, weight: integer, healthy: boolean, active: integer}[]",
                doc: """
                    The endpoints of an upstream as this worker sees them; `active` counts its streams, and one that \
                    could not be connected to, fails its health check or is ejected is not `healthy`. An unknown \
                    name raises an error.
                    """, upstreams),
            LuaBinding(
                "canary", "t", type: "(choices: table): string",
                doc: """
                    Chooses among upstreams by weight, sends the request there and gives the name: \
                    `handle:canary{ {"stable", 95}, {"canary", 5}, sticky = user }`. With a `sticky` text the same \
                    text always gets the same choice (the hash is that of `moon.hash`), else it is drawn by lot. In \
                    the request hook only.
                    """, canary),
        ]
    }

    // MARK: Endpoints

    private static let overrideHost: mg_leaf = { call in
        guard let address = address(call.bytes(0).string) else {
            return call.fail("host is not a valid IP address")
        }
        guard let run = requestRun(call) else { return MG_RETURN }
        wish(run) { wish in
            wish.address = address
            wish.isStrict = call.pointee.arguments[1].kind == MG_BOOLEAN && call.pointee.arguments[1].boolean
        }
        return MG_RETURN
    }

    private static let setEndpoint: mg_leaf = { call in
        guard requestRun(call) != nil else {
            return call.fail("setEndpoint is for request hooks: the request has been sent")
        }
        return overrideHost(call)
    }

    private static let setHashKey: mg_leaf = { call in
        guard let run = requestRun(call) else {
            return call.fail("setHashKey is for request hooks: the request has been sent")
        }
        let hash = StableHash.hash(call.bytes(0))
        wish(run) { $0.hash = hash }
        return MG_RETURN
    }

    /// `10.0.0.1:80`, `[::1]:80`, `10.0.0.1`, `::1`, `[::1]`; port 0 stands for none.
    private static func address(_ text: String) -> SocketAddress? {
        if let address = SocketAddress(text) { return address }
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        // As in Envoy: IPv6 in brackets only, since what stands behind the last colon could be a port.
        guard isBracketed || !text.contains(":") else { return nil }
        return SocketAddress(host: isBracketed ? String(text.dropFirst().dropLast()) : text, port: 0)
    }

    private static func wish(_ run: PolicyRun, _ change: (inout EndpointPreference) -> Void) {
        var wish = run.subject.wish ?? EndpointPreference()
        change(&wish)
        run.subject.wish = wish
    }

    // MARK: Time

    private static let setTimeout: mg_leaf = { call in
        guard let run = requestRun(call) else {
            return call.fail("setTimeout is for request hooks: the request has been sent")
        }
        let milliseconds = call.pointee.arguments[0].number
        guard milliseconds >= 0, milliseconds <= 86_400_000 else {
            return call.fail("setTimeout: the time must be 0 to 86400000 milliseconds")
        }
        // Rounded up, so that no time above 0 becomes "no limit".
        run.subject.timeout = UInt64((milliseconds * 1_000_000).rounded(.up))
        return MG_RETURN
    }

    // MARK: Upstreams

    private static let upstreams: mg_leaf = { call in
        guard let run = call.run, let view = run.view else { return call.fail("only hooks know the upstreams") }
        let index = run.upstreamIndex(of: call.bytes(0))
        guard view.upstreams.indices.contains(index) else { return run.failUnknownUpstream(call) }
        return call.give(
            .list(
                view.upstreams[index].report.map { endpoint in
                    .table([
                        .init(.string("endpoint"), .string(endpoint.name)),
                        .init(.string("weight"), .integer(Int64(endpoint.weight))),
                        .init(.string("healthy"), .bool(endpoint.isHealthy)),
                        .init(.string("active"), .integer(Int64(endpoint.active))),
                    ])
                }))
    }

    private struct Choice {
        var name: String
        var index: Int
        var weight: Double
    }

    private static let canary: mg_leaf = { call in
        guard let run = requestRun(call) else {
            return call.fail("canary is for request hooks: the request has been sent")
        }
        var fraction = StableHash.fraction(UInt64.random(in: 0...UInt64.max))
        var choices: [Choice] = []
        if let fault = read(call, run, &choices, &fraction) { return call.fail("canary: \(fault)") }
        var left = fraction * choices.reduce(0) { $0 + $1.weight }
        var chosen = choices.last { $0.weight > 0 }
        for choice in choices {
            left -= choice.weight
            if left < 0 {
                chosen = choice
                break
            }
        }
        guard let chosen else { return call.fail("canary: every weight is 0") }
        run.subject.upstream = chosen.index
        call.give(copyOf: chosen.name)
        return MG_RETURN
    }

    /// Fills in the choices in their order; gives what is wrong with the table.
    private static func read(
        _ call: BindingCall, _ run: PolicyRun, _ choices: inout [Choice], _ fraction: inout Double
    ) -> CallMessage? {
        let form: CallMessage = "write { {\"stable\", 95}, {\"canary\", 5}, sticky = text }"
        var items: [(place: Int64, value: LuaValue)] = []
        switch call.value(0) {
        case .list(let values): items = values.enumerated().map { (Int64($0) + 1, $1) }
        case .table(let entries):
            for entry in entries {
                switch (entry.key, entry.value) {
                case (.integer(let place), let value): items.append((place, value))
                case (.string("sticky"), .string(let text)):
                    fraction = text.withBytes { StableHash.fraction(StableHash.hash($0)) }
                case (.string("sticky"), _): return "sticky must be a text"
                default: return form
                }
            }
        default: return form
        }
        guard (1...choiceLimit).contains(items.count) else { return "1 to \(choiceLimit) upstreams are needed" }
        for item in items.sorted(by: { $0.place < $1.place }) {
            guard case .list(let pair) = item.value, pair.count == 2, case .string(let name) = pair[0],
                let weight = weight(pair[1])
            else { return form }
            let index = name.withBytes { run.upstreamIndex(of: $0) }
            guard index >= 0 else { return "choice \(item.place) names no upstream of the configuration" }
            choices.append(Choice(name: name, index: index, weight: weight))
        }
        return nil
    }

    private static func weight(_ value: LuaValue) -> Double? {
        let weight: Double
        switch value {
        case .integer(let integer): weight = Double(integer)
        case .number(let number): weight = number
        default: return nil
        }
        return weight >= 0 && weight <= 1e9 ? weight : nil
    }

    /// The run while its request has not been sent; `nil` in the response hook and outside of hooks.
    private static func requestRun(_ call: BindingCall) -> PolicyRun? {
        guard let run = call.run, run.phase == .request else { return nil }
        return run
    }
}

extension Pooled where Record == PolicyRunRecord {
    /// -1: there is none of that name.
    func upstreamIndex(of name: Bytes) -> Int {
        self.subject.upstreamNames?._withUnsafeGuaranteedRef { $0.index(of: name) } ?? -1
    }

    func failUnknownUpstream(_ call: BindingCall) -> mg_action {
        call.fail("argument 1 names no upstream of the configuration")
    }
}
