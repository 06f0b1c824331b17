import Glibc

/// Checks passwords on threads of their own and remembers the right ones; one for the process and all generations.
///
/// A check takes some 60 ms of CPU. Its threads give way to the event loops, and what finds their queue full is
/// refused at once. Askers for a credential that is being checked share the answer, so that a client which opens
/// with a hundred calls costs one check.
final class PasswordVerifier: Sendable {
    typealias Completion = @Sendable (_ isRight: Bool) -> Void

    private struct State {
        var table: CredentialTable
        /// Who waits for which check.
        var waiting: [CredentialKey: [Completion]] = [:]
    }

    /// The key of the credentials' HMAC, random for each process.
    let secret: [UInt8]
    private let lifetime: UInt64
    private let pool: BackgroundPool
    private let state: Locked<State>

    /// Half of the cores, at least one, at most four.
    static var defaultThreads: Int { max(1, min(4, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) / 2)) }

    /// - Parameters:
    ///   - queueLimit: checks that may wait; at 60 ms each, 32 for each thread are 2 s.
    ///   - capacity: credentials that are remembered.
    ///   - lifetime: how long a credential is remembered after its check.
    /// - Throws: `SystemError` when the system refuses a thread.
    init(
        threads: Int = PasswordVerifier.defaultThreads, queueLimit: Int? = nil, capacity: Int = 16384,
        lifetime: Duration = .seconds(300)
    ) throws {
        var generator = SystemRandomNumberGenerator()
        secret = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        self.lifetime = lifetime.nanoseconds
        state = Locked(State(table: CredentialTable(capacity: capacity)))
        pool = try BackgroundPool(
            name: "mg-password", threads: threads, queueLimit: queueLimit ?? threads * 32, priority: .low)
    }

    /// Checks a password in the background.
    ///
    /// `completion` runs once, on one of the verifier's threads. `false`: the queue is full, and `completion` will not
    /// run.
    func verify(
        _ key: CredentialKey, password: Bytes, hash: PasswordHash, completion: @escaping Completion
    ) -> Bool {
        state.withLock { state in
            if state.waiting[key] != nil {
                state.waiting[key]?.append(completion)
                return true
            }
            let password = Secret(password)
            let isQueued = pool.submit { self.finish(key, hash.matches(password)) }
            if isQueued { state.waiting[key] = [completion] }
            return isQueued
        }
    }

    /// When a checked credential ends; `nil`: it must be checked.
    func expiry(of key: CredentialKey, now: Instant) -> Instant? {
        state.withLock { $0.table.expiry(of: key, now: now) }
    }

    /// Takes no more checks and drops those that wait.
    func stop() {
        pool.stop()
        let dropped = state.withLock { state in
            defer { state.waiting = [:] }
            return state.waiting
        }
        withExtendedLifetime(dropped) {}
    }

    private func finish(_ key: CredentialKey, _ isRight: Bool) {
        let askers = state.withLock { state in
            if isRight { state.table.insert(key, expiry: Clock.now() &+ lifetime) }
            return state.waiting.removeValue(forKey: key) ?? []
        }
        for completion in askers { completion(isRight) }
    }
}
