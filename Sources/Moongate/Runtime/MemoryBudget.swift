import Synchronization

/// What memory is for that no request under way needs: it may be refused, and goes first when memory is short.
enum MemoryUse: Int, CaseIterable, Sendable {
    /// Copies of requests for mirrors.
    case mirrors
    /// Requests that may be sent once more: what was sent and is kept, and the copies of hedged attempts.
    case attempts
    /// What connections that are ending have still to send.
    case closing
    /// Calls of policies that nobody waits for.
    case calls

    /// For metrics.
    var label: String {
        switch self {
        case .mirrors: "mirrors"
        case .attempts: "attempts"
        case .closing: "closing"
        case .calls: "calls"
        }
    }

    /// How much of the whole it may take. A mirror that stands still leaves an eighth for attempts, and what requests take
    /// leaves to closing connections and to calls what is theirs.
    fileprivate func most(of limit: Int) -> Int {
        switch self {
        case .mirrors: limit / 2
        case .attempts: MemoryUse.mostOfRequests(limit)
        case .closing: limit / 4
        case .calls: limit / 8
        }
    }

    /// What mirrors and attempts may take together.
    fileprivate static func mostOfRequests(_ limit: Int) -> Int { limit - limit / 4 - limit / 8 }

    /// It grows with what clients send.
    fileprivate var isOfRequests: Bool { self == .mirrors || self == .attempts }
}

/// The bytes that the whole process may hold in copies (`limits.copy_buffer`): one sum over all threads.
///
/// Exact: of those that ask at once, none gets what is not there. Relaxed atomics, since nothing else is read on the strength
/// of the numbers. Threads ask through an account of their own (`MemoryAccount`).
final class MemoryBudget: Sendable {
    private final class Share: Sendable {
        let used = Atomic<Int>(0)
        let refused = Atomic<UInt64>(0)
    }

    private let most = Atomic<Int>(Int.max)
    private let closed = Atomic<Bool>(false)
    private let total = Atomic<Int>(0)
    /// Of `total`: mirrors and attempts.
    private let ofRequests = Atomic<Int>(0)
    private let shares = MemoryUse.allCases.map { _ in Share() }

    /// - Returns: false when there is not so much left, or memory is short.
    func tryTake(_ bytes: Int, _ use: MemoryUse) -> Bool {
        guard !isClosed else { return false }
        let limit = self.limit
        let share = shares[use.rawValue]
        guard share.used.wrappingAdd(bytes, ordering: .relaxed).newValue <= use.most(of: limit) else {
            share.used.wrappingSubtract(bytes, ordering: .relaxed)
            return false
        }
        total.wrappingAdd(bytes, ordering: .relaxed)
        guard use.isOfRequests else { return true }
        guard ofRequests.wrappingAdd(bytes, ordering: .relaxed).newValue <= MemoryUse.mostOfRequests(limit) else {
            giveBack(bytes, use)
            return false
        }
        return true
    }

    func giveBack(_ bytes: Int, _ use: MemoryUse) {
        shares[use.rawValue].used.wrappingSubtract(bytes, ordering: .relaxed)
        total.wrappingSubtract(bytes, ordering: .relaxed)
        if use.isOfRequests { ofRequests.wrappingSubtract(bytes, ordering: .relaxed) }
    }

    func countRefusal(_ use: MemoryUse) { shares[use.rawValue].refused.wrappingAdd(1, ordering: .relaxed) }

    // MARK: The limit

    /// `Int.max`: any number. What is held beyond a new limit stays until it is given back.
    var limit: Int { most.load(ordering: .relaxed) }

    func setLimit(_ bytes: Int) { most.store(bytes, ordering: .relaxed) }

    /// Nothing is lent now: the process is short of memory.
    @inline(__always) var isClosed: Bool { closed.load(ordering: .relaxed) }

    func setClosed(_ isClosed: Bool) { closed.store(isClosed, ordering: .relaxed) }

    // MARK: For metrics

    /// Bytes lent for all uses, the reserves of threads included.
    var used: Int { total.load(ordering: .relaxed) }

    func used(_ use: MemoryUse) -> Int { shares[use.rawValue].used.load(ordering: .relaxed) }

    func refusals(_ use: MemoryUse) -> UInt64 { shares[use.rawValue].refused.load(ordering: .relaxed) }
}
