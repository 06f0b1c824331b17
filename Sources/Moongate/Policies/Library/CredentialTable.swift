/// A bounded set of credentials with an end to each.
///
/// Set-associative, in one array that never grows: a credential has eight places, and a new one takes an empty or
/// expired place or that of the one which ends first. Which eight is up to the key, which no client can choose.
struct CredentialTable: Sendable {
    private struct Entry: Sendable {
        var key = CredentialKey()
        /// 0: empty.
        var expiry: Instant = 0
    }
    private static let ways = 8

    private var entries: [Entry]
    /// Number of groups of eight, minus one; the number is a power of two.
    private let mask: Int

    /// - Parameter capacity: rounded up to a power of two, at least 8.
    init(capacity: Int) {
        var groups = 1
        while groups * CredentialTable.ways < capacity { groups *= 2 }
        mask = groups - 1
        entries = Array(repeating: Entry(), count: groups * CredentialTable.ways)
    }

    /// When the credential ends; `nil`: it is not here, or not any more.
    func expiry(of key: CredentialKey, now: Instant) -> Instant? {
        for place in places(of: key) where entries[place].expiry > now && entries[place].key == key {
            return entries[place].expiry
        }
        return nil
    }

    mutating func insert(_ key: CredentialKey, expiry: Instant) {
        var victim = places(of: key).lowerBound
        for place in places(of: key) {
            if entries[place].key == key {
                victim = place
                break
            }
            if entries[place].expiry < entries[victim].expiry { victim = place }
        }
        entries[victim] = Entry(key: key, expiry: expiry)
    }

    private func places(of key: CredentialKey) -> Range<Int> {
        let first = (Int(truncatingIfNeeded: key.words.1) & mask) * CredentialTable.ways
        return first..<(first + CredentialTable.ways)
    }
}
