import CMoongate
import MoongateLua

/// Parts of the request's head, taken apart as scripts would have to do by hand.
enum RequestPartsBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "path", "", type: "(): string",
                doc: """
                    The canonical path, without the query: unreserved characters are decoded, other percent-escapes are not, \
                    see [Paths](routing.md#paths).
                    """, path),
            LuaBinding(
                "query", "s", type: "(name: string): string?",
                doc: "The first value of a parameter of the query, decoded (`%20` and `+`); nil if there is none.",
                query),
            LuaBinding(
                "cookie", "s", type: "(name: string): string?",
                doc: "The value of the first cookie of that name, as it was sent; nil if there is none.", cookie),
            LuaBinding(
                "basicAuth", "", type: "(): string?, string?",
                doc: """
                    User and password of an `authorization: Basic` header. Nil if there is none, more than one, or \
                    one that is malformed.
                    """, basicAuth),
            LuaBinding(
                "bearer", "", type: "(): string?",
                doc: """
                    The token of an `authorization: Bearer` header. Nil if there is none, more than one, or one that \
                    is malformed.
                    """, bearer),
            LuaBinding(
                "grpcMetadata", "s", type: "(key: string): string?",
                doc: """
                    The first value of a key of the call's metadata, that of `-bin` keys decoded; nil if there is \
                    none or it is malformed.
                    """, grpcMetadata),
            LuaBinding(
                "requestId", "", type: "(): string",
                doc: "The request's number as the logs have it, 16 hexadecimal digits.", requestID),
        ]
    }

    // MARK: Path

    private static let path: mg_leaf = { call in
        call.give(split(call).path)
        return MG_RETURN
    }

    private static let query: mg_leaf = { call in
        let text = split(call).query
        guard let target = mg_call_scratch(call, max(1, text.count)) else { return call.fail("not enough memory") }
        let wanted = call.bytes(0)
        var rest = text
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "&")) ?? rest.count
            let pair = rest[0..<end]
            rest = end < rest.count ? rest[end + 1..<rest.count] : .empty
            let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.count
            let name = PercentText.decode(pair[0..<equals], to: target)
            guard !pair.isEmpty, Bytes(UnsafePointer(target), name).equals(wanted) else { continue }
            let value = equals < pair.count ? pair[equals + 1..<pair.count] : .empty
            call.give(Bytes(UnsafePointer(target), PercentText.decode(value, to: target)))
            return MG_RETURN
        }
        call.giveNil()
        return MG_RETURN
    }

    private static func split(_ call: BindingCall) -> (path: Bytes, query: Bytes) {
        guard let path = head(call)?.value(.path) else { return (.empty, .empty) }
        guard let mark = path.firstIndex(of: UInt8(ascii: "?")) else { return (path, .empty) }
        return (path[0..<mark], path[mark + 1..<path.count])
    }

    // MARK: Cookies

    /// A policy may have added a field.
    private static let cookie: mg_leaf = { call in
        let wanted = call.bytes(0)
        guard let head = head(call) else { return nothing(call) }
        for index in 0..<head.count where head[index].id == .cookie {
            if let value = CookiePairs.value(of: wanted, in: head[index].value) {
                call.give(value)
                return MG_RETURN
            }
        }
        return nothing(call)
    }

    // MARK: Credentials

    private static let basicAuth: mg_leaf = { call in
        guard let text = credentials(call, scheme: Bytes("basic")),
            let target = mg_call_scratch(call, text.count + 3), let count = Base64.decode(text, to: target)
        else { return nothing(call) }
        let decoded = Bytes(UnsafePointer(target), count)
        // RFC 7617 §2: the user's name has no colon, the password may.
        guard let colon = decoded.firstIndex(of: UInt8(ascii: ":")) else { return nothing(call) }
        call.give(decoded[0..<colon])
        call.give(decoded[colon + 1..<count])
        return MG_RETURN
    }

    private static let bearer: mg_leaf = { call in
        guard let token = credentials(call, scheme: Bytes("bearer")) else { return nothing(call) }
        call.give(token)
        return MG_RETURN
    }

    /// What stands behind the scheme in the only `authorization` field; `nil` if it is empty or holds a blank.
    private static func credentials(_ call: BindingCall, scheme: Bytes) -> Bytes? {
        guard let head = head(call) else { return nil }
        var found: Bytes?
        for index in 0..<head.count where head[index].id == .authorization {
            guard found == nil else { return nil }
            found = head[index].value
        }
        guard let value = found, let blank = value.firstIndex(of: UInt8(ascii: " ")),
            value[0..<blank].equalsIgnoringCase(scheme)
        else { return nil }
        let rest = HeaderRules.trimmed(value[blank..<value.count])
        return rest.isEmpty || rest.firstIndex(of: UInt8(ascii: " ")) != nil ? nil : rest
    }

    // MARK: gRPC

    private static let grpcMetadata: mg_leaf = { call in
        let key = call.bytes(0)
        guard let head = head(call) else { return nothing(call) }
        for index in 0..<head.count where head[index].name.equalsIgnoringCase(key) {
            let value = head[index].value
            guard key.count > 4, key[key.count - 4..<key.count].equalsIgnoringCase(Bytes("-bin")) else {
                call.give(value)
                return MG_RETURN
            }
            // Several values may stand in one field, with commas between them.
            let first = HeaderRules.trimmed(value[0..<(value.firstIndex(of: UInt8(ascii: ",")) ?? value.count)])
            guard let target = mg_call_scratch(call, first.count + 3), let count = Base64.decode(first, to: target)
            else { return nothing(call) }
            call.give(Bytes(UnsafePointer(target), count))
            return MG_RETURN
        }
        return nothing(call)
    }

    private static let requestID: mg_leaf = { call in
        let number = call.run?.pointer.pointee.subject.requestNumber ?? 0
        call.give(copyOf: RequestNumber.text(number))
        return MG_RETURN
    }

    // MARK: Parts

    private static func head(_ call: BindingCall) -> HeaderList? {
        call.run?.pointer.pointee.subject.request
    }

    private static func nothing(_ call: BindingCall) -> mg_action {
        call.giveNil()
        return MG_RETURN
    }
}
