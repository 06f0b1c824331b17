import Glibc
import Testing

@testable import Moongate

struct PasswordVerifierTests {
    /// bcrypt, cost 4: about 1 ms in release.
    private let hash: PasswordHash

    init() throws {
        hash = try PasswordHash.make(password: Array("secret".utf8), method: .bcrypt, cost: 4)
    }

    /// A check with its own literals; `nil`: refused.
    private func verify(_ cache: CredentialCache, _ password: String, _ hash: PasswordHash? = nil) async -> Bool? {
        await withCheckedContinuation { done in
            let isTaken = password.withBytes {
                cache.verify(scope: Bytes("users"), user: Bytes("alice"), password: $0, hash: hash ?? self.hash) {
                    done.resume(returning: $0)
                }
            }
            if !isTaken { done.resume(returning: nil) }
        }
    }

    private func isVerified(
        _ cache: CredentialCache, scope: String = "users", user: String = "alice", password: String = "secret",
        now: Instant = Clock.now()
    ) -> Bool {
        scope.withBytes { scope in
            user.withBytes { user in
                password.withBytes { password in
                    hash.text.withBytes {
                        cache.isVerified(scope: scope, user: user, password: password, hash: $0, now: now)
                    }
                }
            }
        }
    }

    @Test func rightPasswordIsRememberedForAllWorkers() async throws {
        // Longer than any machine keeps a test waiting.
        let verifier = try PasswordVerifier(threads: 1, lifetime: .seconds(3600))
        defer { verifier.stop() }
        let first = try #require(CredentialCache(verifier))
        let second = try #require(CredentialCache(verifier))
        #expect(!isVerified(first))
        #expect(await verify(first, "secret") == true)
        for cache in [first, second] {
            #expect(isVerified(cache))
            #expect(isVerified(cache))
            #expect(!isVerified(cache, scope: "users, changed"))
            #expect(!isVerified(cache, user: "bob"))
            #expect(!isVerified(cache, password: "Secret"))
            #expect(!isVerified(cache, now: Clock.now() + Duration.seconds(3601).nanoseconds))
        }
    }

    @Test func wrongPasswordIsNotRemembered() async throws {
        let verifier = try PasswordVerifier(threads: 1)
        defer { verifier.stop() }
        let cache = try #require(CredentialCache(verifier))
        #expect(await verify(cache, "guess") == false)
        #expect(!isVerified(cache, password: "guess"))
        #expect(await verify(cache, "secret", hash.decoy) == false)
    }

    @Test func sameCredentialIsCheckedOnceAtATime() async throws {
        // One thread and one waiting place: 100 askers only fit if they share.
        let verifier = try PasswordVerifier(threads: 1, queueLimit: 1)
        defer { verifier.stop() }
        let cache = try #require(CredentialCache(verifier))
        let slow = try PasswordHash.make(password: Array("secret".utf8), method: .bcrypt, cost: 7)
        let answers = Locked<[Bool?]>([])
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            for _ in 0..<100 {
                let isTaken = cache.verify(
                    scope: .empty, user: Bytes("alice"), password: Bytes("secret"), hash: slow
                ) { isRight in
                    let count = answers.withLock { answers in
                        answers.append(isRight)
                        return answers.count
                    }
                    if count == 100 { done.resume() }
                }
                #expect(isTaken)
            }
        }
        #expect(answers.withLock { $0 } == Array(repeating: true, count: 100))
    }

    @Test func fullQueueRefuses() async throws {
        let verifier = try PasswordVerifier(threads: 1, queueLimit: 2)
        defer { verifier.stop() }
        let cache = try #require(CredentialCache(verifier))
        let slow = try PasswordHash.make(password: Array("secret".utf8), method: .bcrypt, cost: 9)
        let taken = (0..<50).filter { number in
            "guess \(number)".withBytes { cache.verify(scope: .empty, user: .empty, password: $0, hash: slow) { _ in } }
        }
        #expect(taken.count >= 2 && taken.count <= 4)
    }

    /// One client fills the queue; others still get in, one after the other, and their checks come next.
    @Test func aClientThatFillsTheQueueLosesItsOwnPlaces() async throws {
        let verifier = try PasswordVerifier(threads: 1, queueLimit: 8)
        defer { verifier.stop() }
        let cache = try #require(CredentialCache(verifier))
        let slow = try PasswordHash.make(password: Array("secret".utf8), method: .bcrypt, cost: 8)
        let flood = ClientShare(try #require(SocketAddress("192.0.2.66:1")))
        let displaced = Locked(0)
        for number in 0..<100 {
            "guess \(number)".withBytes {
                _ = cache.verify(scope: .empty, user: .empty, password: $0, hash: slow, client: flood) { isRight in
                    if isRight == nil { displaced.withLock { $0 += 1 } }
                }
            }
        }
        let others = try (1...4).map { ClientShare(try #require(SocketAddress("192.0.2.\($0):1"))) }
        for (number, client) in others.enumerated() {
            let isRight: Bool? = await withCheckedContinuation { done in
                let isTaken = "secret".withBytes {
                    cache.verify(
                        scope: .empty, user: Bytes("user"), password: $0, hash: slow, client: client
                    ) { done.resume(returning: $0) }
                }
                if !isTaken { done.resume(returning: nil) }
            }
            #expect(isRight == true, "client \(number)")
        }
        // The flood's own places made room for the first, while the queue was full.
        #expect(displaced.withLock { $0 } >= 1)
    }

    /// Two clients ask for the same credential: one check answers both, whichever place comes first.
    @Test func clientsShareTheCheckOfACredential() async throws {
        let verifier = try PasswordVerifier(threads: 1, queueLimit: 2)
        defer { verifier.stop() }
        let cache = try #require(CredentialCache(verifier))
        let slow = try PasswordHash.make(password: Array("secret".utf8), method: .bcrypt, cost: 7)
        let clients = try (1...2).map { ClientShare(try #require(SocketAddress("192.0.2.\($0):1"))) }
        let answers = Locked(0)
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            for number in 0..<40 {
                let isTaken = "secret".withBytes {
                    cache.verify(
                        scope: .empty, user: .empty, password: $0, hash: slow, client: clients[number % 2]
                    ) { isRight in
                        let count = answers.withLock { answers in
                            answers += isRight == true ? 1 : 0
                            return answers
                        }
                        if count == 40 { done.resume() }
                    }
                }
                #expect(isTaken)
            }
        }
        #expect(answers.withLock { $0 } == 40)
    }
}
