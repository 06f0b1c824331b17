import Synchronization

/// Does something once several threads have reported.
final class Countdown: Sendable {
    private let left: Atomic<Int>
    private let action: @Sendable () -> Void

    /// - Parameter count: reports to wait for, at least one; later ones do nothing.
    init(_ count: Int, _ action: @escaping @Sendable () -> Void) {
        left = Atomic(count)
        self.action = action
    }

    func one() { if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { action() } }
}
