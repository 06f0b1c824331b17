/// Names of which there are many, and which the edge treats alike.
extension FieldName {
    /// Fields in which proxies tell others who their client is. From anybody else they are no more than a claim, and servers
    /// behind the edge often believe them.
    static let clientClaims: [StaticString] = [
        "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6",
        "fastly-client-ip",
    ]

    /// So do names that begin like this: by them an Envoy is told about the client, and how to route, retry and time a request.
    static var claimPrefix: StaticString { "x-envoy-" }

    /// The id of a name that is not interned.
    static func family(_ name: Bytes) -> FieldName {
        if hasUnderscore(name) { return .underscored }
        return hasClaimPrefix(name) || isClaim(name) ? .clientClaim : .other
    }

    /// Both as one word.
    private static func hasClaimPrefix(_ name: Bytes) -> Bool {
        name.count >= 8
            && UnsafeRawPointer(name.base).loadUnaligned(as: UInt64.self)
                == UnsafeRawPointer(claimPrefix.utf8Start).loadUnaligned(as: UInt64.self)
    }

    private static func isClaim(_ name: Bytes) -> Bool {
        // Few names end as they do.
        guard (9...19).contains(name.count), isClaimEnd(name[name.count - 1]) else { return false }
        for claim in clientClaims where name.equals(claim) { return true }
        return false
    }

    private static func isClaimEnd(_ octet: UInt8) -> Bool { octet == UInt8(ascii: "p") || octet == UInt8(ascii: "6") }

    /// Eight octets at a time.
    static func hasUnderscore(_ name: Bytes) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        var found: UInt64 = 0
        var index = 0
        while index + 8 <= name.count {
            let word = UnsafeRawPointer(name.base + index).loadUnaligned(as: UInt64.self)
            // An octet that becomes 0 borrows from its highest bit.
            let rest = word ^ (ones &* UInt64(UInt8(ascii: "_")))
            found |= (rest &- ones) & ~rest
            index += 8
        }
        if found & (ones &* 0x80) != 0 { return true }
        while index < name.count {
            if name[index] == UInt8(ascii: "_") { return true }
            index += 1
        }
        return false
    }

    /// Whether two names are one where servers make `-` and `_` the same (CGI, RFC 3875 §4.1.18), and differ here.
    static func areTwins(_ one: Bytes, _ other: Bytes) -> Bool {
        guard one.count == other.count else { return false }
        var differ = false
        for index in 0..<one.count where one[index] != other[index] {
            guard isSeparator(one[index]), isSeparator(other[index]) else { return false }
            differ = true
        }
        return differ
    }

    /// The id of a name with underscores where they are taken for hyphens.
    static func identifyTwin(_ name: Bytes) -> FieldName {
        // Longer than every name that is known, but for those of `claimPrefix`.
        let longest = 64
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: longest) { buffer in
            let count = min(name.count, longest)
            guard let base = buffer.baseAddress else { return .other }
            for index in 0..<count { base[index] = isSeparator(name[index]) ? UInt8(ascii: "-") : name[index] }
            return identify(Bytes(UnsafePointer(base), count))
        }
    }

    private static func isSeparator(_ octet: UInt8) -> Bool { octet == UInt8(ascii: "-") || octet == UInt8(ascii: "_") }
}
