/// What a verifier sees of a key set that is fetched. Belongs to the verifier's thread.
final class JWTKeyFeed {
    /// What a look at the set has found.
    enum Change {
        case none
        /// Other keys; `nil`: there are none that may be used.
        case keys([JWTKey]?)
    }

    let set: FetchedKeySet
    /// Nanoseconds from the fetch of keys to their end, if no later fetch succeeds.
    let maxAge: UInt64
    private var seenVersion = UInt64.max
    private var seenDirectory = UInt64.max
    private var target: UpstreamTarget?
    /// When the keys in use are too old.
    private var end = Instant.max
    /// Of the fetch that this verifier has begun.
    private var ticket: UInt64?

    init(_ set: FetchedKeySet, maxAge: UInt64) {
        self.set = set
        self.maxAge = maxAge
    }

    /// The policies are replaced while a fetch is under way: the next one need not wait for its end.
    deinit {
        if let ticket { _ = set.finish(ticket, nil, target: nil, now: 0) }
    }

    /// - Parameter directory: the upstreams in force.
    func look(_ directory: UpstreamDirectory?, now: Instant) -> Change {
        let version = set.version
        if version == seenVersion, directory?.number == seenDirectory, now < end { return .none }
        seenVersion = version
        see(directory)
        guard let keys = target.flatMap({ set.keys(of: $0) }) else {
            end = .max
            return .keys(nil)
        }
        let (sum, isTooLate) = keys.fetchedAt.addingReportingOverflow(maxAge)
        end = isTooLate ? .max : sum
        guard now < end else {
            end = .max
            return .keys(nil)
        }
        return .keys(keys.keys)
    }

    private func see(_ directory: UpstreamDirectory?) {
        guard let directory else {
            (target, seenDirectory) = (nil, .max)
            return
        }
        guard directory.number != seenDirectory else { return }
        seenDirectory = directory.number
        target = directory.target(of: set.name.upstream)
    }

    // MARK: Fetching

    /// Whether the caller is to fetch the set; `finish` follows then.
    func begin(_ directory: UpstreamDirectory?, refresh: UInt64, now: Instant) -> Bool {
        see(directory)
        guard let target, case .fetch(let ticket) = set.begin(target, refresh: refresh, now: now) else { return false }
        self.ticket = ticket
        return true
    }

    /// - Parameter keys: `nil`: the fetch has failed.
    func finish(_ keys: [JWTKey]?, _ directory: UpstreamDirectory?, now: Instant) -> Bool {
        guard let ticket else { return false }
        self.ticket = nil
        see(directory)
        return set.finish(ticket, keys, target: target, now: now)
    }

    /// See `FetchedKeySet.want`.
    func want(_ directory: UpstreamDirectory?, now: Instant) -> Bool {
        see(directory)
        return target.map { set.want($0, now: now) } ?? false
    }
}
