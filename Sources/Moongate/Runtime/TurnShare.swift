/// How many steps of TLS handshakes one turn of a worker's loop makes: each costs as much as dozens of requests, and a flood
/// of them must leave the others their turn. Those that are left come in the next turn.
final class HandshakeTurn {
    private static let limit = 8

    private var turn: Instant = 0
    private var steps = 0

    /// - Parameter now: the time at the beginning of the turn.
    func begin(now: Instant) -> Bool {
        if turn != now {
            turn = now
            steps = 0
        }
        steps += 1
        return steps <= HandshakeTurn.limit
    }
}
