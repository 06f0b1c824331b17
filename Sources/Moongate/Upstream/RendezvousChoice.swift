import Glibc

/// Weighted rendezvous hashing: every value has an order of preference among all endpoints, so that it stays with its
/// endpoint until that one is gone, and then only the values of the lost endpoint move.
enum RendezvousChoice {
    /// The position of the best usable endpoint for `hash`; `nil` when none is usable.
    ///
    /// - Parameters:
    ///   - identity: a number for each endpoint that is the same in all workers and processes.
    ///   - weight: above 0.
    static func pick(
        _ hash: UInt64, count: Int, identity: (Int) -> UInt64, weight: (Int) -> Int, isUsable: (Int) -> Bool
    ) -> Int? {
        var best: (index: Int, score: Double)?
        for index in 0..<count where isUsable(index) {
            // The minimum of exponentially distributed draws, by weight; +1 keeps the logarithm off 0.
            let draw = Double((StableHash.mix(hash ^ identity(index)) >> 11) &+ 1) * 0x1p-53
            let score = -log(draw) / Double(max(1, weight(index)))
            if best.map({ score < $0.score }) ?? true { best = (index, score) }
        }
        return best?.index
    }
}
