/// What other threads hand over to a worker, taken in small numbers in each turn of its loop: a new connection costs as much as
/// a dozen requests, and a flood of them must not keep those waiting who are there.
///
/// - Parameter Arrival: an `AcceptedConnection`, outside of tests.
final class Arrivals<Arrival>: EventHandler {
    private let loop: EventLoop
    private let share = TurnShare(8)
    /// Who came first is last.
    private var front: [Arrival] = []
    private var back: [Arrival] = []
    /// Takes one.
    private let take: (Arrival) -> Void
    /// There were too many, and this one had waited for longest.
    private let drop: (Arrival) -> Void

    init(loop: EventLoop, take: @escaping (Arrival) -> Void, drop: @escaping (Arrival) -> Void) {
        self.loop = loop
        self.take = take
        self.drop = drop
    }

    /// - Parameter limit: how many may wait.
    func add(_ arrival: Arrival, limit: Int) {
        if isEmpty {
            if share.take(now: loop.now) { return take(arrival) }
            loop.runAgain(self)
        }
        back.append(arrival)
        if front.count + back.count > max(1, limit), let first = removeFirst() { drop(first) }
    }

    /// Takes all that wait.
    func takeAll() {
        while let arrival = removeFirst() { take(arrival) }
    }

    override func again() {
        while !isEmpty {
            guard share.take(now: loop.now) else { return loop.runAgain(self) }
            if let arrival = removeFirst() { take(arrival) }
        }
    }

    private var isEmpty: Bool { front.isEmpty && back.isEmpty }

    private func removeFirst() -> Arrival? {
        if front.isEmpty {
            front = back.reversed()
            back = []
        }
        return front.popLast()
    }
}
