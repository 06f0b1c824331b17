import Glibc
import Testing

@testable import Moongate

struct PasswordHashTests {
    private static let yescrypt = "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$E9XAySfP6N2THWdzNKesSVmhpcmhNusa8y5TMfT668."

    @Test(arguments: [
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
        ("$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
        (yescrypt, "correct horse"),
    ])
    func knownHashMatchesItsPasswordOnly(text: String, password: String) throws {
        let hash = try PasswordHash(text)
        #expect(hash.matches(secret(password)))
        #expect(!hash.matches(secret(password + "x")))
        #expect(!hash.matches(secret(password.uppercased() + " ")))
        #expect(!hash.matches(secret("")))
        // crypt(3) would stop at the zero byte.
        #expect(!hash.matches(secret(password + "\0x")))
        #expect(!hash.matches(secret(String(repeating: "x", count: 600))))
    }

    @Test(arguments: [(PasswordHash.Method.bcrypt, 4, "$2b$04$"), (.yescrypt, 1, "$y$j75$")])
    func freshHashMatches(method: PasswordHash.Method, cost: Int, prefix: String) throws {
        let hash = try PasswordHash.make(password: Array("pässword".utf8), method: method, cost: cost)
        #expect(hash.text.hasPrefix(prefix))
        #expect(hash.matches(secret("pässword")))
        #expect(!hash.matches(secret("password")))
        #expect(try PasswordHash.make(password: Array("pässword".utf8), method: method, cost: cost) != hash)
    }

    @Test(arguments: PasswordHash.Method.allCases)
    func everyCostThatIsMadeIsTaken(method: PasswordHash.Method) throws {
        for cost in [method.costs.lowerBound, method.defaultCost] {
            _ = try PasswordHash.make(password: [65], method: method, cost: cost)
        }
        #expect(throws: PasswordFault.self) {
            try PasswordHash.make(password: [65], method: method, cost: method.costs.lowerBound - 1)
        }
        #expect(throws: PasswordFault.self) {
            try PasswordHash.make(password: [65], method: method, cost: method.costs.upperBound + 1)
        }
    }

    /// bcrypt looks at 72 bytes and at none behind a zero byte: a password that agrees so far is another one.
    @Test func passwordsOfWhichBcryptSeesAPartAreRefusedAtLogin() throws {
        let longest = String(repeating: "x", count: 72)
        let hash = try PasswordHash.make(password: Array(longest.utf8), method: .bcrypt, cost: 4)
        #expect(hash.matches(secret(longest)))
        for other in [longest + "x", longest + "anything", longest + "\0", "\0" + longest] {
            #expect(!hash.matches(secret(other)), "\(other.count) bytes")
        }
        let short = try PasswordHash.make(password: Array("short".utf8), method: .bcrypt, cost: 4)
        #expect(short.matches(secret("short")) && !short.matches(secret("short\0")))
    }

    @Test func yescryptSeesAllOfALongPassword() throws {
        let long = String(repeating: "x", count: 200)
        let hash = try PasswordHash.make(password: Array(long.utf8), method: .yescrypt, cost: 1)
        #expect(hash.matches(secret(long)))
        #expect(!hash.matches(secret(long + "x")) && !hash.matches(secret(String(long.dropLast()))))
        #expect(!hash.matches(secret(long + "\0")) && !hash.matches(secret(String(repeating: "x", count: 512))))
    }

    /// Else the time of the answer told by which method a user's password is hashed, and so who is one.
    @Test(arguments: ["\0", String(repeating: "x", count: 73), String(repeating: "x", count: 600), "a\0b", ""])
    func aRefusedPasswordCostsWhatAWrongOneCosts(password: String) throws {
        for text in ["$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", PasswordHashTests.yescrypt] {
            let hash = try PasswordHash(text)
            let wrong = processorTime { for _ in 0..<20 { _ = hash.matches(secret("wrong")) } }
            let refused = processorTime { for _ in 0..<20 { _ = hash.matches(secret(password)) } }
            let unknown = processorTime { for _ in 0..<20 { _ = hash.decoy.matches(secret(password)) } }
            #expect(refused * 4 > wrong && refused < wrong * 4)
            #expect(unknown * 4 > wrong && unknown < wrong * 4)
        }
    }

    @Test func unusablePasswordIsNotHashed() {
        for password in [[], [65, 0, 65], [UInt8](repeating: 65, count: 73)] {
            #expect(throws: PasswordFault.self) { try PasswordHash.make(password: password, method: .bcrypt, cost: 4) }
        }
    }

    @Test(arguments: [
        "", "secret", "$1$salt$digest", "$6$salt$digest",
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
        "$2b$5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWx",
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC:E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$y$", "$y$j9T$salt", "$y$jFT$k2XAnEHBqQ1Ct2aMXFKNa/$E9XAySfP6N2THWdzNKesSVmhpcmhNusa8y5TMfT668.",
        "$y$jzT$k2XAnEHBqQ1Ct2aMXFKNa/$E9XAySfP6N2THWdzNKesSVmhpcmhNusa8y5TMfT668.",
        "$y$x9T$k2XAnEHBqQ1Ct2aMXFKNa/$E9XAySfP6N2THWdzNKesSVmhpcmhNusa8y5TMfT668.",
    ])
    func otherAndDamagedHashesAreRefused(text: String) {
        #expect(throws: PasswordFault.self) { try PasswordHash(text) }
    }

    @Test func decoyCostsTheSameAndMatchesNothing() throws {
        for text in ["$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", PasswordHashTests.yescrypt] {
            let hash = try PasswordHash(text)
            let decoy = hash.decoy
            // A hash that still parses, with method, cost and salt kept: crypt(3) does all of its work on it.
            #expect(try PasswordHash(decoy.text) == decoy)
            #expect(decoy.text.count == hash.text.count)
            #expect(decoy.text.hasPrefix(text.prefix(text.count - 43)))
            #expect(!decoy.matches(secret("U*U")) && !decoy.matches(secret("correct horse")))
            let real = processorTime { for _ in 0..<20 { _ = hash.matches(secret("wrong")) } }
            let fake = processorTime { for _ in 0..<20 { _ = decoy.matches(secret("wrong")) } }
            #expect(fake * 4 > real && fake < real * 4)
        }
    }

    @Test func decoyOfAUserIsAlwaysTheSameAndAllAreUsed() throws {
        let hashes = [
            try PasswordHash("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            try PasswordHash(PasswordHashTests.yescrypt),
        ]
        let decoys = (0..<50).map { user in "user\(user)".withBytes { PasswordHash.decoy(for: $0, among: hashes) } }
        #expect(
            decoys == (0..<50).map { user in "user\(user)".withBytes { PasswordHash.decoy(for: $0, among: hashes) } })
        #expect(Set(decoys).count == 2)
        #expect(PasswordHash.decoy(for: Bytes("x"), among: []) == nil)
    }

    /// Of this thread, in nanoseconds: other tests and other programs do not count.
    private func processorTime(_ body: () -> Void) -> Int {
        var start = timespec()
        var end = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start)
        body()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end)
        return (end.tv_sec - start.tv_sec) * 1_000_000_000 + end.tv_nsec - start.tv_nsec
    }

    private func secret(_ text: String) -> Secret { text.withBytes { Secret($0) } }
}
