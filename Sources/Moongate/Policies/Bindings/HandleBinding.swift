import CMoongate
import Logging
import MoongateLua

/// The handle: what a hook is called with. Envoy's stream handle, extended.
enum HandleBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.handle, name: "handle",
            summary: "What hooks are called with: one request, its response, and what a policy can do about them.",
            bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding("headers", "", headers),
            LuaBinding("requestHeaders", "", requestHeaders),
            LuaBinding("respond", "ts?", ReplyBinding.respond),
            LuaBinding("config", "", config),
            LuaBinding("ctx", "", context),
            LuaBinding("metadata", "", metadata),
            LuaBinding("filterContext", "", metadata),
            LuaBinding("streamInfo", "", streamInfo),
            LuaBinding("clearRouteCache", "", clearRouteCache),
            LuaBinding("setUpstream", "s", setUpstream),
            LuaBinding("remoteAddress", "", remoteAddress),
            LuaBinding("isGrpc", "", isGRPC),
            LuaBinding("grpcMethod", "", grpcMethod),
            LuaBinding("timestamp", "v?", TimeBinding.timestamp),
            LuaBinding("timestampString", "v?", TimeBinding.timestampString),
            LuaBinding("base64Escape", "s", base64Escape),
            LuaBinding("base64Decode", "s", base64Decode),
            LuaBinding("logTrace", "s") { HandleBinding.log($0, .trace) },
            LuaBinding("logDebug", "s") { HandleBinding.log($0, .debug) },
            LuaBinding("logInfo", "s") { HandleBinding.log($0, .info) },
            LuaBinding("logWarn", "s") { HandleBinding.log($0, .warning) },
            LuaBinding("logErr", "s") { HandleBinding.log($0, .error) },
            LuaBinding("logCritical", "s") { HandleBinding.log($0, .critical) },
        ]
    }

    // MARK: Objects

    /// The headers of the phase: the request's, then the response's.
    private static let headers: mg_leaf = { call in
        guard let run = call.run else { return call.fail("only hooks have headers") }
        let isResponse = run.pointer.pointee.phase == .response
        call.give(
            isResponse ? run.pointer.pointee.objects.responseHeaders : run.pointer.pointee.objects.requestHeaders)
        return MG_RETURN
    }

    private static let requestHeaders: mg_leaf = { call in
        call.give(call.run?.pointer.pointee.objects.requestHeaders)
        return MG_RETURN
    }

    private static let config: mg_leaf = { call in
        guard let run = call.run else { return call.fail("only hooks have settings here") }
        call.give(reference: run.currentInstance.pointee.config)
        return MG_RETURN
    }

    /// A plain table that lives as long as the exchange and is the same in both hooks and for all of its policies.
    private static let context: mg_leaf = { call in
        call.giveMark(MG_SCOPE_TABLE)
        return MG_RETURN
    }

    private static let metadata: mg_leaf = { call in
        call.give(call.run?.pointer.pointee.objects.metadata)
        return MG_RETURN
    }

    private static let streamInfo: mg_leaf = { call in
        call.give(call.run?.pointer.pointee.objects.streamInfo)
        return MG_RETURN
    }

    // MARK: Routing

    /// As in Envoy: nothing happens in the response hook.
    private static let clearRouteCache: mg_leaf = { call in
        guard let run = call.run else { return MG_RETURN }
        if run.pointer.pointee.phase == .request { run.pointer.pointee.subject.routeCacheCleared = true }
        return MG_RETURN
    }

    private static let setUpstream: mg_leaf = { call in
        guard let run = call.run, run.pointer.pointee.phase == .request else {
            return call.fail("setUpstream is for request hooks: the request has been sent")
        }
        let name = call.bytes(0)
        let index = run.pointer.pointee.subject.upstreamNames?._withUnsafeGuaranteedRef { $0.index(of: name) } ?? -1
        guard index >= 0 else { return call.fail("there is no upstream called '\(name.string)'") }
        run.pointer.pointee.subject.upstream = index
        return MG_RETURN
    }

    // MARK: The request

    /// The client's address without its port.
    private static let remoteAddress: mg_leaf = { call in
        guard let facts = call.run?.connectionFacts else {
            call.giveNil()
            return MG_RETURN
        }
        call.give(copyOf: facts.remote.host)
        return MG_RETURN
    }

    private static let isGRPC: mg_leaf = { call in
        call.give(call.run?.isGRPC ?? false)
        return MG_RETURN
    }

    /// Service and method of a gRPC request; nil for others.
    private static let grpcMethod: mg_leaf = { call in
        guard let run = call.run, run.isGRPC, let path = run.pointer.pointee.subject.request?.pointee.value(.path),
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
        guard let count = Base64.decode(bytes, to: target) else {
            call.giveNil()
            return MG_RETURN
        }
        call.give(Bytes(UnsafePointer(target), count))
        return MG_RETURN
    }

    private static func log(_ call: BindingCall, _ level: Logger.Level) -> mg_action {
        call.host?.log(level, call.bytes(0), of: call.run)
        return MG_RETURN
    }
}

extension Pooled where Record == PolicyRunRecord {
    var connectionFacts: ConnectionFacts? { pointer.pointee.subject.connection?.takeUnretainedValue() }

    var isGRPC: Bool {
        pointer.pointee.subject.request?.pointee.value(.contentType).map(GRPCContentType.isGRPC) ?? false
    }
}
