/// How many frames of each kind a peer may send that carry no work themselves.
struct AbuseLimits: Sendable, Equatable {
    /// Frames of one kind in a row; a tenth of that comes back each second.
    var controlFrames: Int32 = 1000
    /// Streams reset by the peer, or by us for its mistakes; one comes back for each that ends well, and a thirtieth of the
    /// limit each second, so that clients which cancel a share of their calls, or all of their few, are never cut off.
    var resets: Int32 = 1000
}

/// A peer's accounts, one for each kind of frame that asks for something and brings nothing.
///
/// A frame costs one subtraction. Only when an account is empty does it get what time and honest work have earned since the
/// last time: then a flood is told from a busy connection.
struct AbuseBudget {
    /// DATA frames with a body, in both directions. Counted by the connection, like the next two, since the accounts were
    /// filled last.
    var frames: UInt64 = 0
    /// Streams that have ended in whatever way.
    var ended: UInt64 = 0
    /// Those of them that have ended well.
    var finished: UInt64 = 0

    /// What a kind may cost.
    private struct Terms {
        var burst: Int32
        var perSecond: UInt64
        var perFrame: UInt64 = 0
        var perEnded: UInt64 = 0
        var perFinished: UInt64 = 0
        /// Work earns so many times `burst`: a peer that was sent thousands of frames at once answers them one by one, when all
        /// are out.
        var reserve = 1

        var most: Double { Double(burst) * Double(reserve) }
    }

    private let limits: AbuseLimits
    private var filled: Instant
    /// By `Abuse`.
    private var accounts = InlineArray<17, Int32>(repeating: 0)

    init(_ limits: AbuseLimits, now: Instant) {
        self.limits = limits
        filled = now
        for kind in Abuse.allCases { accounts[kind.rawValue] = terms(kind).burst }
    }

    /// Counts a frame; false: it was one too many.
    @inline(__always) mutating func spend(_ kind: Abuse, now: Instant) -> Bool {
        accounts[kind.rawValue] -= 1
        if accounts[kind.rawValue] >= 0 { return true }
        accounts[kind.rawValue] = 0
        fill(now)
        accounts[kind.rawValue] -= 1
        return accounts[kind.rawValue] >= 0
    }

    @inline(never) private mutating func fill(_ now: Instant) {
        let seconds = Double(now &- filled) / 1e9
        for kind in Abuse.allCases {
            let terms = terms(kind)
            let earned = frames &* terms.perFrame &+ ended &* terms.perEnded &+ finished &* terms.perFinished
            let before = Double(accounts[kind.rawValue])
            let rested = max(before, min(Double(terms.burst), before + seconds * Double(terms.perSecond)))
            accounts[kind.rawValue] = Int32(min(terms.most, Double(Int32.max), rested + Double(earned)))
        }
        filled = now
        frames = 0
        ended = 0
        finished = 0
    }

    private func terms(_ kind: Abuse) -> Terms {
        let burst = limits.controlFrames
        let perSecond = UInt64(max(1, burst / 10))
        switch kind {
        case .rapidReset, .madeYouReset:
            return Terms(burst: limits.resets, perSecond: UInt64(max(1, limits.resets / 30)), perFinished: 1)
        // Clients measure their bandwidth with a PING for each DATA they get.
        case .ping: return Terms(burst: burst, perSecond: perSecond, perFrame: 1, perEnded: 1, reserve: 16)
        // Each may have all streams looked at.
        case .settings: return Terms(burst: max(20, burst / 10), perSecond: max(1, perSecond / 10))
        case .priority: return Terms(burst: burst, perSecond: perSecond, perEnded: 4)
        // Two for each DATA are usual, and one more for a stream that begins.
        case .windowUpdate:
            return Terms(
                burst: Int32(clamping: Int(burst) * 10), perSecond: perSecond * 10, perFrame: 10, perEnded: 10,
                reserve: 16)
        case .emptyData: return Terms(burst: burst, perSecond: perSecond, perEnded: 1)
        case .tinyData:
            return Terms(burst: Int32(clamping: Int(burst) * 10), perSecond: perSecond * 10, perFrame: 1, perEnded: 4)
        // 64 KiB of fields and more are to be decoded for each.
        case .oversizedHeaders: return Terms(burst: max(10, burst / 50), perSecond: max(1, perSecond / 10))
        case .informational: return Terms(burst: burst, perSecond: perSecond, perEnded: 4)
        // A stream that was given up may have a few under way.
        case .stray: return Terms(burst: burst, perSecond: perSecond, perEnded: 4)
        case .continuation, .stalledResponse, .collectedRequest, .slowHeaders, .slowBody, .unreadOutput:
            return Terms(burst: .max, perSecond: 1)
        }
    }
}
