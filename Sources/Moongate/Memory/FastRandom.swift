/// Cheap random numbers for spreading load (xorshift64*). Nothing secret hangs on them: the system's generator costs a
/// system call each.
struct FastRandom {
    private var state: UInt64

    init() { state = UInt64.random(in: 1...UInt64.max) }

    init(seed: UInt64) { state = max(1, seed) }

    /// From 0 to just below 1.
    mutating func fraction() -> Double { Double(next() >> 11) * 0x1p-53 }

    @inline(__always) mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
