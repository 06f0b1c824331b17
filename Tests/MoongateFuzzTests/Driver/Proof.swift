@testable import Moongate

extension FuzzTarget {
    /// Does what its input names: one fault of each kind that fuzzing is to find. Not among the targets; `scripts/fuzz` looks
    /// whether the build notices each before it trusts a run without findings.
    static let proof = FuzzTarget("proof") { bytes in
        let faults = BuildProof()
        switch String(decoding: bytes, as: UTF8.self) {
        case "assertion": faults.assertion()
        case "exclusivity": faults.overlap()
        case "overflow": faults.overflow(Int8(clamping: bytes.count + 120))
        case "address": faults.readBeyond(bytes.count)
        case "leak": faults.leak(bytes.count)
        case "violation": throw Violation(description: "proof")
        default: break
        }
    }
}
