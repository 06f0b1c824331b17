import Glibc

/// Checks passwords on threads of their own and remembers the right ones; one for the process and all generations.
///
/// A check takes some 60 ms of CPU. Its threads give way to the event loops. The clients that ask take turns, and a full
/// queue gives up the newest check of the client that has most in it (`FairQueue`): one that guesses passwords delays
/// and refuses nobody but itself. Askers for a credential that is being checked share the answer, so that a client which
/// opens with a hundred calls costs one check.
final class PasswordVerifier: Sendable {
    /// Runs with `nil` if the check was given up for another client's.
    typealias Completion = @Sendable (_ isRight: Bool?) -> Void

    /// A place in the queue for a credential. Several clients that ask for the same one have a place each.
    private struct Ticket: Sendable {
        let key: CredentialKey
        let client: ClientShare
        let password: Secret
        let hash: PasswordHash
    }

    /// The askers for one credential, by client; a client that is here has a ticket or shares in the check that runs.
    private struct Askers {
        var byClient: [ClientShare: [Completion]] = [:]
        var isRunning = false
    }

    private struct State {
        var table: CredentialTable
        var askers: [CredentialKey: Askers] = [:]
        var queue: FairQueue<ClientShare, Ticket>
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
        let limit = queueLimit ?? threads * 32
        state = Locked(State(table: CredentialTable(capacity: capacity), queue: FairQueue(limit: limit)))
        // The pool's own queue holds a turn for each ticket: never more than there are tickets.
        pool = try BackgroundPool(name: "mg-password", threads: threads, queueLimit: limit, priority: .low)
    }

    private enum Admission {
        case queued
        case refused
        /// Others have lost their place to this one.
        case displaced([Completion])
    }

    /// Checks a password in the background.
    ///
    /// `completion` runs once, on one of the verifier's threads or on that of a later caller. `false`: the queue is full,
    /// and `completion` will not run.
    func verify(
        _ key: CredentialKey, password: Bytes, hash: PasswordHash, client: ClientShare,
        completion: @escaping Completion
    ) -> Bool {
        let admission = state.withLock { state in
            if let known = state.askers[key], known.isRunning || known.byClient[client] != nil {
                state.askers[key]?.byClient[client, default: []].append(completion)
                return Admission.queued
            }
            let ticket = Ticket(key: key, client: client, password: Secret(password), hash: hash)
            return admit(ticket, completion, &state)
        }
        switch admission {
        case .queued: return true
        case .refused: return false
        case .displaced(let others):
            for other in others { other(nil) }
            return true
        }
    }

    private func admit(_ ticket: Ticket, _ completion: @escaping Completion, _ state: inout State) -> Admission {
        switch state.queue.append(ticket, of: ticket.client) {
        case .refused: return .refused
        case .queued:
            guard pool.submit({ self.runNext() }) else {
                state.queue.takeNewest(of: ticket.client)
                return .refused
            }
            state.askers[ticket.key, default: Askers()].byClient[ticket.client] = [completion]
            return .queued
        case .displaced(let other):
            // The turn in the pool's queue is for this ticket now.
            state.askers[ticket.key, default: Askers()].byClient[ticket.client] = [completion]
            return .displaced(PasswordVerifier.giveUp(other, &state))
        }
    }

    /// The askers who lose their place with a ticket; none where the check runs for another client's ticket.
    private static func giveUp(_ ticket: Ticket, _ state: inout State) -> [Completion] {
        guard let known = state.askers[ticket.key], !known.isRunning else { return [] }
        let askers = state.askers[ticket.key]?.byClient.removeValue(forKey: ticket.client) ?? []
        if state.askers[ticket.key]?.byClient.isEmpty ?? false { state.askers[ticket.key] = nil }
        return askers
    }

    /// When a checked credential ends; `nil`: it must be checked.
    func expiry(of key: CredentialKey, now: Instant) -> Instant? {
        state.withLock { $0.table.expiry(of: key, now: now) }
    }

    /// Takes no more checks and drops those that wait.
    func stop() {
        pool.stop()
        let dropped = state.withLock { state in
            defer { state.askers = [:] }
            return state.askers
        }
        withExtendedLifetime(dropped) {}
    }

    private func runNext() {
        let ticket: Ticket? = state.withLock { state in
            // Nothing is left to do for a ticket whose credential another client's ticket has answered, or is answering.
            guard let ticket = state.queue.next(), let known = state.askers[ticket.key], !known.isRunning,
                known.byClient[ticket.client] != nil
            else { return nil }
            state.askers[ticket.key]?.isRunning = true
            return ticket
        }
        if let ticket { finish(ticket.key, ticket.hash.matches(ticket.password)) }
    }

    private func finish(_ key: CredentialKey, _ isRight: Bool) {
        let askers = state.withLock { state in
            if isRight { state.table.insert(key, expiry: Clock.now() &+ lifetime) }
            return state.askers.removeValue(forKey: key)
        }
        for completion in askers?.byClient.values.joined() ?? [:].values.joined() { completion(isRight) }
    }
}
