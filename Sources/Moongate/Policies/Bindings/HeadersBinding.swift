import CMoongate
import MoongateLua

/// The header map: what `handle:headers()` gives.
///
/// Names compare without case, and `host` means `:authority`. Reading never copies a list; a Lua string comes into
/// being for what a script asks for.
enum HeadersBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.headers, name: "header map",
            summary: "The headers of a request or response, or its trailers.", bindings: bindings, iterate: step)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "get", "s", type: "(name: string): string?",
                doc: "The value; several are joined with `,`, cookies with `; `. Nil if there is none.", get),
            LuaBinding(
                "getAll", "s", type: "(name: string): string[]",
                doc: "Every value, in order; an empty list if there is none.", getAll),
            LuaBinding(
                "getAtIndex", "si", type: "(name: string, index: integer): string?",
                doc: "One of several values, counted from 0; nil outside.", getAtIndex),
            LuaBinding(
                "getNumValues", "s", type: "(name: string): integer",
                doc: "How many values there are.", getNumValues),
            LuaBinding(
                "has", "s", type: "(name: string): boolean",
                doc: "Whether there is a value.", has),
            LuaBinding(
                "add", "ss", type: "(name: string, value: string|number)",
                doc: "Appends a value behind those that are there.", add),
            LuaBinding(
                "replace", "ss", type: "(name: string, value: string|number)",
                doc: "Puts this value in the place of all there are.", replace),
            LuaBinding(
                "set", "ss", type: "(name: string, value: string|number)",
                doc: "Another name for `replace`.", replace),
            LuaBinding(
                "remove", "s", type: "(name: string)",
                doc: "Removes all values. `:method`, `:scheme`, `:path` and `:status` cannot be removed.", remove),
            LuaBinding(
                "removeCookie", "s", type: "(name: string)",
                doc: """
                    Removes the cookies of that name from the `cookie` fields, as `handle:cookie` finds them. Others stay as they \
                    are; a field that held nothing else goes.
                    """, removeCookie),
            LuaBinding(
                "setHttp1ReasonPhrase", "s", type: "(text: string)",
                doc: "Does nothing: HTTP/2 has no reason phrase."
            ) { _ in MG_RETURN },
        ]
    }

    // MARK: Reading

    /// The value; several joined with commas, as RFC 9110 §5.2 allows and Envoy does. Cookies, of which a policy may have added
    /// some, have semicolons between them (RFC 9113 §8.2.3).
    private static let get: mg_leaf = { call in
        guard let list = list(call) else { return MG_RETURN }
        return withName(call) { name in
            let id = FieldName.identify(name)
            guard let first = list.index(of: name, id, from: 0) else {
                call.giveNil()
                return MG_RETURN
            }
            guard list.index(of: name, id, from: first + 1) != nil else {
                call.give(list[first].value)
                return MG_RETURN
            }
            return giveJoined(call, list, name, first)
        }
    }

    private static func giveJoined(
        _ call: BindingCall, _ list: HeaderList, _ name: Bytes, _ first: Int
    ) -> mg_action {
        let separator = list[first].id == .cookie ? Bytes("; ") : Bytes(",")
        var size = 0
        forEach(list, name, from: first) { size += $0.count + separator.count }
        guard let target = mg_call_scratch(call, size) else { return call.fail("not enough memory") }
        var writer = TextWriter(UnsafeMutableBufferPointer(start: target, count: size))
        var isFirst = true
        forEach(list, name, from: first) { value in
            if !isFirst { writer.append(separator) }
            isFirst = false
            writer.append(value)
        }
        call.give(writer.bytes)
        return MG_RETURN
    }

    private static let getAll: mg_leaf = { call in
        guard let list = list(call) else { return MG_RETURN }
        return withName(call) { name in
            call.giveMark(MG_LIST)
            forEach(list, name, from: 0) { call.give($0) }
            call.giveMark(MG_END)
            return MG_RETURN
        }
    }

    /// Counts from 0.
    private static let getAtIndex: mg_leaf = { call in
        guard let list = list(call) else { return MG_RETURN }
        return withName(call) { name in
            var left = call.integer(1)
            var found: Bytes?
            forEach(list, name, from: 0) { value in
                if left == 0 { found = value }
                left -= 1
            }
            if let found { call.give(found) } else { call.giveNil() }
            return MG_RETURN
        }
    }

    private static let getNumValues: mg_leaf = { call in
        guard let list = list(call) else { return MG_RETURN }
        return withName(call) { name in
            var count: Int64 = 0
            forEach(list, name, from: 0) { _ in count += 1 }
            call.give(count)
            return MG_RETURN
        }
    }

    private static let has: mg_leaf = { call in
        guard let list = list(call) else { return MG_RETURN }
        return withName(call) { name in
            call.give(list.index(of: name) != nil)
            return MG_RETURN
        }
    }

    /// One step of `pairs(headers)`, in the order of the list.
    static let step: mg_leaf = { call in
        guard let list = list(call), call.pointee.position < Int64(list.count) else { return MG_RETURN }
        let field = list[Int(call.pointee.position)]
        call.pointee.position += 1
        call.give(field.name)
        call.give(field.value)
        return MG_RETURN
    }

    // MARK: Writing

    private static let add: mg_leaf = { call in
        write(call) { list, name, value in
            guard name[0] == UInt8(ascii: ":"), let place = list.index(of: name) else {
                if name[0] == UInt8(ascii: ":") {
                    list.set(name: name, value: value)
                } else if HeaderRules.isSingle(name), list.index(of: name) != nil {
                    return call.fail("header 'content-length' is there already, and occurs once")
                } else {
                    list.removeTwins(of: name)
                    list.add(name: name, value: value)
                }
                return MG_RETURN
            }
            // A pseudo-header occurs once (RFC 9113 §8.3): as in Envoy, the values are joined.
            let old = list[place].value
            guard let target = mg_call_scratch(call, old.count + 1 + value.count) else {
                return call.fail("not enough memory")
            }
            target.update(from: old.base, count: old.count)
            target[old.count] = UInt8(ascii: ",")
            (target + old.count + 1).update(from: value.base, count: value.count)
            let joined = Bytes(UnsafePointer(target), old.count + 1 + value.count)
            if let fault = HeaderRules.fault(name: name, value: joined, isRequest: !name.equals(":status")) {
                return call.fail(fault)
            }
            list.set(name: name, value: joined)
            return MG_RETURN
        }
    }

    private static let replace: mg_leaf = { call in
        write(call) { list, name, value in
            list.set(name: name, value: value)
            return MG_RETURN
        }
    }

    private static let remove: mg_leaf = { call in
        guard let list = list(call) else { return MG_RETURN }
        if let refusal = refuseWrite(call) { return refusal }
        return withName(call) { name in
            guard !HeaderRules.isRequired(name) else {
                return call.fail(
                    "headers without which a message is malformed cannot be removed: ':method', ':path', ':scheme', ':status'"
                )
            }
            list.remove(name: name)
            noteWrite(call, name)
            return MG_RETURN
        }
    }

    private static func write(
        _ call: BindingCall, _ body: (HeaderList, Bytes, Bytes) -> mg_action
    ) -> mg_action {
        guard let list = list(call), let map = call.native(as: PolicyHeaderMap.self) else { return MG_RETURN }
        if let refusal = refuseWrite(call) { return refusal }
        return withName(call) { name in
            let value = HeaderRules.trimmed(call.bytes(1))
            if map.pointee.isTrailers && name.count > 0 && name[0] == UInt8(ascii: ":") {
                return call.fail("trailers have no pseudo-headers")
            }
            if let fault = HeaderRules.fault(name: name, value: value, isRequest: map.pointee.isRequest) {
                return call.fail(fault)
            }
            guard HeaderRules.hasRoom(list, for: name.count + value.count) else {
                return call.fail(
                    "the headers have grown too large: 4096 fields, and 1 MiB with those removed, are the most")
            }
            let isPath = map.pointee.isRequest && name.equals(":path")
            let old = isPath ? list.value(.path) : nil
            let action = body(list, name, value)
            if isPath, let fault = canonicalizePath(list, map.pointee.run) {
                if let old { list.set(name: Bytes(":path"), value: old) }
                return call.fail("':path' cannot be set to this: \(fault)")
            }
            noteWrite(call, name)
            return action
        }
    }

    /// The next policy sees a canonical path, too.
    private static func canonicalizePath(
        _ list: HeaderList, _ run: PolicyRun?
    ) -> PathFault? {
        guard let path = list.value(.path), path.count > 0, path[0] == UInt8(ascii: "/"),
            !RequestPath.isPlain(path)
        else { return nil }
        var settled = CanonicalPath()
        return settled.settle(list, path, run.flatMap { $0.listener?.paths } ?? .strict)
    }

    static func refuseWrite(_ call: BindingCall) -> mg_action? {
        guard let object = call.pointee.object else { return nil }
        if object.pointee.iterators > 0 { return call.fail("header map cannot be modified while iterating") }
        guard let map = call.native(as: PolicyHeaderMap.self), let run = map.pointee.run else { return nil }
        if run.phase == .log {
            return call.fail("header map can no longer be modified: the request is over")
        }
        guard run.isHeadGone, !map.pointee.isTrailers,
            map.pointee.isRequest == (run.phase == .request)
        else { return nil }
        return call.fail("header map can no longer be modified")
    }

    /// Routes are chosen by headers: a request that was changed is routed again, unless no route looks at what changed.
    static func noteWrite(_ call: BindingCall, _ name: Bytes) {
        guard let map = call.native(as: PolicyHeaderMap.self), map.pointee.isRequest, !map.pointee.isTrailers,
            let run = map.pointee.run, run.phase == .request
        else { return }
        run.subject.requestWritten = true
        let view = run.subject.view
        if view?._withUnsafeGuaranteedRef({ $0.routesRead(FieldName.identify(name)) }) ?? true {
            run.subject.routeCacheCleared = true
        }
    }

    // MARK: Parts

    @inline(__always) static func list(_ call: BindingCall) -> HeaderList? {
        guard let map = call.native(as: PolicyHeaderMap.self), let run = map.pointee.run else { return nil }
        if map.pointee.isTrailers {
            let subject = run.subject
            return map.pointee.isRequest ? subject.requestFlow.trailers : subject.responseFlow.trailers
        }
        return map.pointee.isRequest ? run.subject.request : run.subject.response
    }

    /// Lends the name in lower case, `host` as `:authority`.
    @inline(__always) private static func withName(
        _ call: BindingCall, _ body: (Bytes) -> mg_action
    ) -> mg_action {
        let name = call.bytes(0)
        if name.count == 4 && name.equalsIgnoringCase(Bytes("host")) { return body(Bytes(":authority")) }
        guard HeaderRules.hasUpperCase(name) else { return body(name) }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: name.count) { buffer in
            for index in 0..<name.count { buffer[index] = name[index].asciiLowercased }
            guard let base = buffer.baseAddress else { return MG_RETURN }
            return body(Bytes(UnsafePointer(base), name.count))
        }
    }

    @inline(__always) private static func forEach(
        _ list: HeaderList, _ name: Bytes, from start: Int, _ body: (Bytes) -> Void
    ) {
        for index in start..<max(start, list.count) where list[index].name.equals(name) {
            body(list[index].value)
        }
    }
}
