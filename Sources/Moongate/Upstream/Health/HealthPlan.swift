/// Which endpoints of an upstream may be used, by what is known of their health: a pure value.
///
/// Healthy ones are used. Endpoints that no check has told of yet are used while there is no healthy one of the same
/// priority, so that a process that starts serves at once, and one that joins others waits for its first check. Should
/// too few be left, all are used: most of the trouble lies elsewhere then, and a few endpoints would only break under
/// what was meant for all (panic).
struct HealthPlan: Equatable {
    /// By the endpoint's index.
    private(set) var isAvailable: [Bool]
    private(set) var isPanicking = false

    /// - Parameters:
    ///   - priorities: of the endpoints, as far as they are not all the same.
    ///   - panicThreshold: percent of the endpoints of a priority below which all of them are used; 0: never.
    init(_ healthFlags: [SharedEndpoint.HealthFlags], priorities: [Int] = [], panicThreshold: Int) {
        isAvailable = healthFlags.map(\.isEmpty)
        guard healthFlags.contains(where: { !$0.isEmpty }) else { return }
        let levels = HealthPlan.levels(healthFlags.count, priorities)
        let fine = levels.map { level in level.count { healthFlags[$0].isSubset(of: .unchecked) } }
        // As long as the priorities together are good for everything, others take over what one cannot do.
        let strength = zip(levels, fine).reduce(0) { $0 + min(100, 140 * $1.1 / max(1, $1.0.count)) }
        for (level, fine) in zip(levels, fine) {
            if panicThreshold > 0, strength < 100, fine * 100 < panicThreshold * level.count {
                isPanicking = true
                for index in level { isAvailable[index] = true }
            } else if !level.contains(where: { isAvailable[$0] }) {
                for index in level { isAvailable[index] = healthFlags[index] == .unchecked }
            }
        }
    }

    /// The indexes of each priority.
    private static func levels(_ count: Int, _ priorities: [Int]) -> [[Int]] {
        guard priorities.count == count else { return [Array(0..<count)] }
        return Set(priorities).sorted().map { priority in (0..<count).filter { priorities[$0] == priority } }
    }
}
