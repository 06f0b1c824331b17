/// Octets of one direction's body that are in memory.
struct HeldBody {
    /// That wait for the other side.
    var queued = 0
    /// That were sent, and are kept for another attempt.
    var repeatable = 0
    /// That policies keep until they have them all.
    var collected = 0

    var total: Int { queued + repeatable + collected }

    mutating func add(_ other: HeldBody) {
        queued += other.queued
        repeatable += other.repeatable
        collected += other.collected
    }
}
