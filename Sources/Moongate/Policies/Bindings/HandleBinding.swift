import CMoongate
import MoongateLua

/// The handle: what a hook is called with. Envoy's stream handle, extended.
enum HandleBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.handle, name: "handle",
            summary: "What hooks are called with: one request, its response, and what a policy can do about them.",
            bindings: bindings, hidden: BodyBinding.hidden)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "headers", "", type: "(): HeaderMap",
                doc: "The headers of the request; in the response hook those of the response.", headers),
            LuaBinding(
                "requestHeaders", "", type: "(): HeaderMap",
                doc: "The headers of the request, in both hooks.", requestHeaders),
            LuaBinding(
                "downstreamRequestHeaders", "", type: "(): HeaderMap",
                doc: "Another name of `requestHeaders`, which Envoy had for a short time.", requestHeaders),
            LuaBinding(
                "respond", "ts?", type: "(headers: table<string, string|number|(string|number)[]>, body?: string)",
                doc: "Answers the request instead of the upstream and ends the hook, see [Answers](#answers).",
                ReplyBinding.respond),
            LuaBinding(
                "config", "", type: "(): table",
                doc: """
                    The settings of this use of the policy, read only. The same table in every hook: it can be the \
                    key of what `on_init` prepared.
                    """, config),
            LuaBinding(
                "ctx", "", type: "(): table",
                doc: """
                    A table that lives as long as the request, in all hooks. Its strings, numbers and booleans under \
                    string keys are shared by all policies of the request; other values stay with the policy that has \
                    stored them.
                    """, context),
            LuaBinding(
                "metadata", "", type: "(): Metadata",
                doc: """
                    The route's `metadata` under the policy's name, else under `envoy.filters.http.lua`, else none.
                    """, metadata),
            LuaBinding(
                "filterContext", "", type: "(): Metadata",
                doc: "The route's `filter_context`; without that the settings of this use of the policy.",
                filterContext),
            LuaBinding("route", "", type: "(): Route", doc: "The route of the request.", route),
            LuaBinding(
                "virtualHost", "", type: "(): VirtualHost",
                doc: "The listener, which stands where Envoy has a virtual host.", virtualHost),
            LuaBinding(
                "connection", "", type: "(): Connection", doc: "The connection to the client, for old scripts.",
                connection),
            LuaBinding(
                "connectionStreamInfo", "", type: "(): ConnectionStreamInfo",
                doc: "Metadata of the client's connection.", connectionStreamInfo),
            LuaBinding(
                "streamInfo", "", type: "(): StreamInfo",
                doc: "The connection, the route, and dynamic metadata.", streamInfo),
            LuaBinding(
                "clearRouteCache", "", type: "()",
                doc: """
                    Has the route chosen again before the request goes on. Writing a request header does so by \
                    itself; in the response hook nothing happens.
                    """, clearRouteCache),
            LuaBinding(
                "setUpstream", "s", type: "(name: string)",
                doc: """
                    Sends the request to this upstream of the configuration. In the request hook only; an unknown \
                    name raises an error.
                    """, setUpstream),
            LuaBinding(
                "remoteAddress", "", type: "(): string?",
                doc: """
                    The client's address without port: the connection's, or the one that a trusted proxy in front \
                    names (`forwarded` of the listener).
                    """, remoteAddress),
            LuaBinding(
                "isGrpc", "", type: "(): boolean",
                doc: "Whether the request's `content-type` is gRPC's.", isGRPC),
            LuaBinding(
                "grpcMethod", "", type: "(): string?, string?",
                doc: """
                    Service and method of the call: `helloworld.Greeter` and `SayHello`. Nil if the request is not \
                    gRPC.
                    """, grpcMethod),
            LuaBinding(
                "timestamp", "v?", type: "(resolution?: EnvoyTimestampResolution): integer",
                doc: "Milliseconds since 1970.", TimeBinding.timestamp),
            LuaBinding(
                "timestampString", "v?", type: "(resolution?: EnvoyTimestampResolution): string",
                doc: """
                    Milliseconds since 1970 as a text; microseconds with `EnvoyTimestampResolution.MICROSECOND`.
                    """, TimeBinding.timestampString),
            LuaBinding(
                "base64Escape", "s", type: "(text: string): string",
                doc: "Base64 of any bytes.", base64Escape),
            LuaBinding(
                "base64Decode", "s", type: "(text: string): string?",
                doc: "The bytes; nil if the text is malformed. Blanks and missing padding are accepted.", base64Decode),
        ]
            + RequestPartsBinding.bindings
            + DestinationBinding.bindings
            + PublicKeyBinding.bindings
            + LogBinding.bindings
            + StatsBinding.bindings
            + HTTPCallBinding.bindings
            + GRPCReplyBinding.bindings
            + AccountBinding.bindings
            + BodyBinding.bindings
            + BodyBinding.messageBindings
    }

    // MARK: Objects

    /// The headers of the phase: the request's, then the response's.
    private static let headers: mg_leaf = { call in
        guard let run = call.run else { return call.fail("only hooks have headers") }
        let isResponse = run.phase == .response
        call.give(
            isResponse ? run.lend(.responseHeaders) : run.lend(.requestHeaders))
        return MG_RETURN
    }

    private static let requestHeaders: mg_leaf = { call in
        call.give(call.run?.lend(.requestHeaders))
        return MG_RETURN
    }

    private static let config: mg_leaf = { call in
        guard let run = call.run else { return call.fail("only hooks have settings here") }
        call.give(reference: run.currentInstance.pointee.config)
        return MG_RETURN
    }

    /// See `ContextBinding`.
    private static let context: mg_leaf = { call in
        call.giveMark(MG_SCOPE_TABLE)
        return MG_RETURN
    }

    private static let metadata: mg_leaf = { call in
        call.give(call.run?.lend(.routeMetadata))
        return MG_RETURN
    }

    private static let filterContext: mg_leaf = { call in
        call.give(call.run?.lend(.filterContext))
        return MG_RETURN
    }

    private static let route: mg_leaf = { call in
        call.give(call.run?.lend(.route))
        return MG_RETURN
    }

    private static let virtualHost: mg_leaf = { call in
        call.give(call.run?.lend(.virtualHost))
        return MG_RETURN
    }

    private static let connection: mg_leaf = { call in
        call.give(call.run?.lend(.connection))
        return MG_RETURN
    }

    private static let connectionStreamInfo: mg_leaf = { call in
        call.give(call.run?.lend(.connectionStreamInfo))
        return MG_RETURN
    }

    private static let streamInfo: mg_leaf = { call in
        call.give(call.run?.lend(.streamInfo))
        return MG_RETURN
    }

    // MARK: Routing

    /// As in Envoy: nothing happens in the response hook.
    private static let clearRouteCache: mg_leaf = { call in
        guard let run = call.run else { return MG_RETURN }
        if run.phase == .request { run.subject.routeCacheCleared = true }
        return MG_RETURN
    }

    private static let setUpstream: mg_leaf = { call in
        guard let run = call.run, run.phase == .request, !run.isHeadGone else {
            return call.fail("setUpstream is for request hooks: the request has been sent")
        }
        let name = call.bytes(0)
        let index = run.upstreamIndex(of: name)
        guard index >= 0 else { return run.failUnknownUpstream(call) }
        run.subject.upstream = index
        return MG_RETURN
    }

    // MARK: The request

    /// The client's address without its port.
    private static let remoteAddress: mg_leaf = { call in
        if let client = call.run?.client { call.give(client.host) } else { call.giveNil() }
        return MG_RETURN
    }

    private static let isGRPC: mg_leaf = { call in
        call.give(call.run?.isGRPC ?? false)
        return MG_RETURN
    }

    /// Service and method of a gRPC request; nil for others.
    private static let grpcMethod: mg_leaf = { call in
        guard let run = call.run, run.isGRPC, let path = run.subject.request?.value(.path),
            let slash = path.lastIndex(of: UInt8(ascii: "/")), slash > 1, path[0] == UInt8(ascii: "/")
        else {
            call.giveNil()
            return MG_RETURN
        }
        call.give(path[1..<slash])
        call.give(path[slash + 1..<path.count])
        return MG_RETURN
    }

    // MARK: Tools

    private static let base64Escape: mg_leaf = { call in
        let bytes = call.bytes(0)
        let count = Base64.encodedCount(bytes.count)
        guard let target = mg_call_scratch(call, max(1, count)) else { return call.fail("not enough memory") }
        Base64.encode(bytes, to: target)
        call.give(Bytes(UnsafePointer(target), count))
        return MG_RETURN
    }

    private static let base64Decode: mg_leaf = { call in
        let bytes = call.bytes(0)
        guard let target = mg_call_scratch(call, bytes.count + 3) else { return call.fail("not enough memory") }
        guard let count = Base64.decode(Base64.withoutBlanks(bytes, to: target), to: target) else {
            call.giveNil()
            return MG_RETURN
        }
        call.give(Bytes(UnsafePointer(target), count))
        return MG_RETURN
    }
}

extension Pooled where Record == PolicyRunRecord {
    /// Whom the request counts for; `nil`: there is no request.
    var client: ClientAddress? { self.subject.client }

    /// The connection, which may be that of a proxy.
    var connectionFacts: ConnectionFacts? { self.subject.connection?.takeUnretainedValue() }

    var isGRPC: Bool {
        self.subject.request?.value(.contentType).map(GRPCContentType.isGRPC) ?? false
    }
}
