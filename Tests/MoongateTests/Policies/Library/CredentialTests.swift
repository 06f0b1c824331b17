import Testing

@testable import Moongate

struct CredentialTests {
    private func key(_ hasher: CredentialHasher, _ parts: [String]) throws -> CredentialKey {
        let key = parts[0].withBytes { scope in
            parts[1].withBytes { user in
                parts[2].withBytes { password in
                    parts[3].withBytes { hasher.key(scope: scope, user: user, password: password, hash: $0) }
                }
            }
        }
        return try #require(key)
    }

    private func number(_ value: UInt64) -> CredentialKey {
        CredentialKey(words: (value, value, value, value))
    }

    @Test func keyIsTheHMACOfLengthsAndParts() throws {
        let hasher = try #require(CredentialHasher(secret: Array(0..<32)))
        for _ in 0..<3 {
            let key = try key(hasher, ["users", "alice", "secret", "$2b$hash"])
            let digest = withUnsafeBytes(of: key.words) { $0.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) } }
            #expect(digest.joined() == "f9ea3736dc8af42a0dd023359fc12e97af169685d180b446281b5ed80a8f59b6")
        }
    }

    @Test func everyPartCountsAndBordersDoToo() throws {
        let hasher = try #require(CredentialHasher(secret: [1]))
        let other = try #require(CredentialHasher(secret: [2]))
        let variants = [
            ["users", "alice", "secret", "hash"], ["users2", "alice", "secret", "hash"],
            ["users", "alicf", "secret", "hash"],
            ["users", "alice", "Secret", "hash"], ["users", "alice", "secret", "hash2"],
            ["usersa", "lice", "secret", "hash"],
            ["users", "alices", "ecret", "hash"], ["users", "alice", "secreth", "ash"], ["", "", "", ""],
        ]
        var keys = try variants.map { try key(hasher, $0) }
        keys.append(try key(other, variants[0]))
        #expect(Set(keys).count == keys.count)
    }

    @Test func tableForgetsAtTheEnd() {
        var table = CredentialTable(capacity: 64)
        table.insert(number(5), expiry: 100)
        #expect(table.expiry(of: number(5), now: 99) == 100)
        #expect(table.expiry(of: number(5), now: 100) == nil)
        #expect(table.expiry(of: number(6), now: 0) == nil)
        table.insert(number(5), expiry: 200)
        #expect(table.expiry(of: number(5), now: 150) == 200)
    }

    @Test func emptyPlaceIsNoCredential() {
        #expect(CredentialTable(capacity: 8).expiry(of: CredentialKey(), now: 0) == nil)
    }

    @Test func fullTableDropsWhatEndsFirst() {
        var table = CredentialTable(capacity: 1)
        for value in 1...8 as ClosedRange<UInt64> { table.insert(number(value), expiry: 1000 - value) }
        table.insert(number(9), expiry: 2000)
        #expect(table.expiry(of: number(8), now: 0) == nil)
        for value in [1, 2, 3, 4, 5, 6, 7, 9] as [UInt64] { #expect(table.expiry(of: number(value), now: 0) != nil) }
    }
}
