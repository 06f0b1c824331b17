/// How often something is done in one turn of a loop that costs as much as dozens of requests: the others must have their turn.
final class TurnShare {
    private let limit: Int
    private var turn: Instant = 0
    private var taken = 0

    /// - Parameter limit: how often in a turn.
    init(_ limit: Int) { self.limit = limit }

    /// Whether it may be done once more; what is left has to wait for the next turn.
    /// - Parameter now: the time at the beginning of the turn.
    func take(now: Instant) -> Bool {
        if turn != now {
            turn = now
            taken = 0
        }
        taken += 1
        return taken <= limit
    }
}
