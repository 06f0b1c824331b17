import MoongateConfig

/// What a request's head must satisfy before anything looks at it, beyond what `MessageCheck` refuses (RFC 9113 §8.3.1).
enum RequestCheck {
    /// Makes the path canonical (R1) and one field of all cookies, settles `:authority` against `host` (R11), and refuses what has no
    /// place at an edge.
    /// - Returns: the answer to a request that must not go on.
    static func normalize(
        _ request: HeaderList, _ settled: UnsafeMutablePointer<CanonicalPath>,
        _ mode: @autoclosure () -> PathMode
    ) -> Fault? {
        request.joinCookies()
        let method = request.value(.method) ?? .empty
        if method.equals("CONNECT") { return .methodNotAllowed }
        guard let path = request.value(.path), path.count > 0, path[0] == UInt8(ascii: "/") || path.equals("*")
        else { return .malformed("the request has no usable path") }
        if path[0] == UInt8(ascii: "*") && !method.equals("OPTIONS") {
            return .malformed("the path * is for OPTIONS alone")
        }
        if RequestPath.isPlain(path) || path[0] == UInt8(ascii: "*") {
            settled.pointee.traits = []
        } else if let fault = settled.pointee.settle(request, path, mode()) {
            return .malformed(fault.text)
        }
        settled.pointee.isKnown = true
        return resolveAuthority(request)
    }

    private static func resolveAuthority(_ request: HeaderList) -> Fault? {
        let field = request.first(.host)
        let host = field?.value
        if let authority = request.value(.authority) {
            if authority.firstIndex(of: UInt8(ascii: "@")) != nil {
                return .malformed("user information in :authority")
            }
            if authority.isEmpty { return .malformed(":authority is empty") }
            guard let host else { return nil }
            guard host.equalsIgnoringCase(authority) else { return .malformed(":authority and host differ") }
            request.remove(name: Bytes("host"))
            return nil
        }
        guard let host else { return nil }
        if host.isEmpty { return .malformed("host is empty") }
        if host.firstIndex(of: UInt8(ascii: "@")) != nil { return .malformed("user information in host") }
        request.set(name: Bytes(":authority"), value: host)
        if field?.neverIndexed == true { request.neverIndex(Bytes(":authority")) }
        request.remove(name: Bytes("host"))
        return nil
    }
}
