import CMoongate
import MoongateLua

extension HeadersBinding {
    /// A client may send its cookies in one field or in several (RFC 9113 §8.2.3), and the same name more than once.
    static let removeCookie: mg_leaf = { call in
        guard let list = list(call) else { return MG_RETURN }
        if let refusal = refuseWrite(call) { return refusal }
        let name = call.bytes(0)
        var index = 0
        var isChanged = false
        while index < list.count {
            let field = list[index]
            guard field.id == .cookie, CookiePairs.contain(name, in: field.value) else {
                index += 1
                continue
            }
            guard let room = mg_call_scratch(call, max(1, field.value.count)) else {
                return call.fail("not enough memory")
            }
            isChanged = true
            let rest = CookiePairs.copy(field.value, without: name, to: room)
            if rest.isEmpty {
                list.remove(at: index)
            } else {
                list.replaceValue(at: index, by: rest)
                index += 1
            }
        }
        if isChanged { noteWrite(call, Bytes("cookie")) }
        return MG_RETURN
    }
}

/// The pairs of a `cookie` field (RFC 6265 §4.2.1): names and values with semicolons between them.
enum CookiePairs {
    /// The value of the first cookie of that name.
    static func value(of name: Bytes, in cookies: Bytes) -> Bytes? {
        var rest = cookies
        while let pair = next(&rest) {
            if let value = value(of: pair, called: name) { return value }
        }
        return nil
    }

    static func contain(_ name: Bytes, in cookies: Bytes) -> Bool { value(of: name, in: cookies) != nil }

    /// The other cookies, octet for octet, at most as many bytes as there were.
    static func copy(_ cookies: Bytes, without name: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Bytes {
        var rest = cookies
        var count = 0
        while let pair = next(&rest) {
            if value(of: pair, called: name) != nil { continue }
            if count > 0 {
                target[count] = UInt8(ascii: ";")
                count += 1
            }
            (target + count).update(from: pair.base, count: pair.count)
            count += pair.count
        }
        // The first pair that is left may have stood behind another one and a blank.
        return HeaderRules.trimmed(Bytes(UnsafePointer(target), count))
    }

    /// Up to the next semicolon.
    private static func next(_ rest: inout Bytes) -> Bytes? {
        guard !rest.isEmpty else { return nil }
        let end = rest.firstIndex(of: UInt8(ascii: ";")) ?? rest.count
        defer { rest = end < rest.count ? rest[end + 1..<rest.count] : .empty }
        return rest[0..<end]
    }

    /// `nil`: the pair has another name, or none.
    private static func value(of pair: Bytes, called name: Bytes) -> Bytes? {
        guard let equals = pair.firstIndex(of: UInt8(ascii: "=")),
            HeaderRules.trimmed(pair[0..<equals]).equals(name)
        else { return nil }
        return HeaderRules.trimmed(pair[equals + 1..<pair.count])
    }
}
