import MoongateConfig

/// How the process comes to its end: a value that is told what happened and says what to do.
///
///     running ─▶ announcing ─▶ draining ─▶ ending ─▶ stopped
///             signal       delay        grace     all streams gone, or a moment
struct Lifecycle {
    enum Phase: Equatable {
        case running
        /// `/ready` fails so that balancers in front notice; listeners still accept.
        case announcing(until: Instant)
        /// GOAWAY is sent; streams may finish.
        case draining(until: Instant)
        /// The streams left are being ended with `UNAVAILABLE`; their last frames are on the way.
        case ending(until: Instant)
        case stopped
    }

    enum Action: Equatable {
        /// Let `/ready` fail.
        case announce
        /// Stop accepting, send GOAWAY in two steps.
        case drain
        /// End every stream that is left.
        case endStreams
        /// Leave now.
        case stop
    }

    private(set) var phase = Phase.running
    /// How the process leaves once it has stopped.
    private(set) var haste = ShutDown.Haste.orderly
    private var grace: UInt64 = 0

    /// How long the last frames of ended streams may take.
    private static let lastFrames = Duration.seconds(1)

    /// A signal to end. The second one ends at once.
    ///
    /// - Parameter skipDelay: nobody in front has to notice, as when somebody pressed Ctrl-C.
    mutating func terminate(_ settings: DrainConfig, skipDelay: Bool, at now: Instant) -> [Action] {
        guard phase == .running else {
            if phase != .stopped { haste = .atOnce }
            return stop()
        }
        grace = settings.grace.nanoseconds
        phase = .announcing(until: now + (skipDelay ? 0 : settings.delay.nanoseconds))
        return [.announce] + timePassed(at: now)
    }

    /// To be called when `deadline` has come; harmless at other times.
    mutating func timePassed(at now: Instant) -> [Action] {
        switch phase {
        case .announcing(let until) where now >= until:
            phase = .draining(until: now + grace)
            return [.drain]
        case .draining(let until) where now >= until:
            phase = .ending(until: now + Lifecycle.lastFrames.nanoseconds)
            return [.endStreams]
        case .ending(let until) where now >= until: return stop()
        default: return []
        }
    }

    /// Every worker has closed its last connection.
    mutating func drained() -> [Action] {
        switch phase {
        case .draining, .ending: stop()
        case .running, .announcing, .stopped: []
        }
    }

    /// When `timePassed` has something to do; `nil`: never.
    var deadline: Instant? {
        switch phase {
        case .announcing(let until), .draining(let until), .ending(let until): until
        case .running, .stopped: nil
        }
    }

    private mutating func stop() -> [Action] {
        guard phase != .stopped else { return [] }
        phase = .stopped
        return [.stop]
    }
}
