/// Turns a burst of changes into one event: after a time of quiet, but never later than a longest wait.
struct Debounce {
    /// Nanoseconds without a change.
    let quiet: UInt64
    /// Nanoseconds from the first change on.
    let longest: UInt64
    private var first: Instant?
    private var last: Instant = 0

    init(quiet: Duration = .milliseconds(100), longest: Duration = .seconds(1)) {
        self.quiet = quiet.nanoseconds
        self.longest = longest.nanoseconds
    }

    mutating func changed(at now: Instant) {
        if first == nil { first = now }
        last = now
    }

    /// When the event is due; `nil`: nothing has changed.
    var due: Instant? { first.map { min($0 + longest, last + quiet) } }

    /// Is the event due? If so, it is over and the next change begins a new one.
    mutating func take(at now: Instant) -> Bool {
        guard let due, now >= due else { return false }
        first = nil
        return true
    }

    /// Something else has dealt with the changes.
    mutating func forget() { first = nil }
}
