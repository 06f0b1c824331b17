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
        let answers = Locked<[Bool]>([])
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
}
