/// Faults on purpose, within this module, because it is its build that has to notice them: see `scripts/fuzz --prove`. Nothing
/// else makes one.
final class BuildProof {
    /// What the faults work on, so that the optimiser cannot see through them.
    private var count = 0

    /// A mistake that only an assertion notices: an optimised build leaves those out unless it is told not to.
    @inline(never) func assertion() { assert(count != 0, "proof") }

    /// Two changes of one value at a time.
    @inline(never) func overlap() { change(&count) { count += 1 } }

    @inline(never) func overflow(_ number: Int8) { count += Int(number + number) }

    /// One byte behind the end of a block of memory.
    @inline(never) func readBeyond(_ size: Int) {
        let block = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
        block.initialize(repeating: 1, count: size)
        count += Int(block[size])
        block.deallocate()
    }

    @inline(never) func leak(_ size: Int) {
        for _ in 0..<8 {
            let block = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
            block.initialize(repeating: 1, count: size)
            count += Int(block[0])
        }
    }

    @inline(never) private func change(_ value: inout Int, _ meanwhile: () -> Void) {
        meanwhile()
        value += 1
    }
}
