import Synchronization

/// How many of something the whole process has under way, and how many it may have.
///
/// Exact over all threads: of those that ask at once, no more than the bound get a yes. Relaxed atomics, since nothing
/// else is read on the strength of the number.
final class SharedLimit: Sendable {
    private let count = Atomic<Int>(0)
    private let most = Atomic<Int>(Int.max)

    /// Every `true` is followed by one `end`.
    @inline(__always) func tryBegin() -> Bool { tryBegin(atMost: bound) }

    /// As `tryBegin`, with a bound of the moment.
    @inline(__always) func tryBegin(atMost bound: Int) -> Bool {
        guard count.wrappingAdd(1, ordering: .relaxed).newValue > bound else { return true }
        end()
        return false
    }

    @inline(__always) func end() { count.wrappingSubtract(1, ordering: .relaxed) }

    /// Under way now.
    var value: Int { count.load(ordering: .relaxed) }

    /// `Int.max`: any number. What is under way beyond a new bound goes on.
    var bound: Int { most.load(ordering: .relaxed) }

    func setBound(_ bound: Int) { most.store(bound, ordering: .relaxed) }

    @inline(__always) var isFull: Bool { value >= bound }
}
