/// When a connection is to be pinged, drained or closed: a value that is told how things stand and says what to do.
struct ConnectionSchedule {
    /// In nanoseconds; 0: never.
    struct Settings: Sendable, Equatable {
        /// How long TLS, preface and first SETTINGS may take together.
        var handshake: UInt64 = 0
        /// Before it counts, it is changed by up to a tenth up or down, so that connections which were made together do not
        /// end together (gRFC A9).
        var maxAge: UInt64 = 0
        /// How long streams may go on behind `maxAge`.
        var maxAgeGrace: UInt64 = 0
        /// Without a stream.
        var maxIdle: UInt64 = 0
        /// Without a byte from the peer, until it is sent a PING.
        var pingInterval: UInt64 = 0
        var pingTimeout: UInt64 = 0
        /// Also while there is no stream.
        var pingsWithoutStreams = true
    }

    /// How things stand.
    struct View {
        var now: Instant
        var isEstablished: Bool
        /// When the last bytes came.
        var heardAt: Instant
        /// Since when there is no stream; `nil`: there are some.
        var idleSince: Instant?
    }

    enum Action: Equatable {
        case ping
        /// Tell a newcomer of the drain that had begun before it spoke.
        case notice
        /// Ask the peer to use another connection.
        case drain(Reason)
        /// The peer has had time to see that: take no more streams.
        case endDrain
        /// End the streams that are left.
        case endStreams
        case close(Reason)
    }

    enum Reason: Int, CaseIterable {
        case handshake, maxAge, maxIdle, keepalive
    }

    /// How long the peer may take to answer the PING behind the first GOAWAY (C4): a busy one, whose streams would be lost
    /// behind the second, may need more than a second.
    static let notice: UInt64 = 3_000_000_000
    /// How long a newcomer may take for its first calls before it hears that a drain has begun: clients give those up that
    /// meet a GOAWAY before their connection is ready.
    private static let welcome: UInt64 = 1_000_000_000
    /// How long the last frames of ended streams may take.
    private static let lastFrames: UInt64 = 1_000_000_000

    private let settings: Settings
    private let begun: Instant
    /// 0: no limit.
    private var ageEnd: Instant = 0
    private var isDraining = false
    /// Moments of a drain; `nil`: not set, or over.
    private var welcomeEnd: Instant?
    private var noticeEnd: Instant?
    private var graceEnd: Instant?
    private var lastEnd: Instant?
    private var pingSent: Instant?

    /// - Parameter random: spreads the ages.
    init(_ settings: Settings, at now: Instant, random: UInt64) {
        self.settings = settings
        begun = now
        guard settings.maxAge > 0 else { return }
        let spread = settings.maxAge / 5
        ageEnd = now &+ settings.maxAge &- settings.maxAge / 10 &+ (spread == 0 ? 0 : random % spread)
    }

    /// A drain has begun, for whatever reason.
    mutating func drainBegan(at now: Instant) {
        isDraining = true
        noticeEnd = now &+ ConnectionSchedule.notice
    }

    /// A drain has begun before the peer has spoken.
    mutating func drainSoon(at now: Instant) {
        if !isDraining && welcomeEnd == nil { welcomeEnd = now &+ ConnectionSchedule.welcome }
    }

    /// What is to be done now; to be asked again until there is nothing.
    mutating func next(_ view: View) -> Action? {
        guard view.isEstablished else {
            let isLate = settings.handshake > 0 && view.now >= begun &+ settings.handshake
            return isLate ? .close(.handshake) : drain(view)
        }
        return keepalive(view) ?? drain(view) ?? ping(view)
    }

    private mutating func keepalive(_ view: View) -> Action? {
        guard let sent = pingSent else { return nil }
        if view.heardAt > sent {
            pingSent = nil
            return nil
        }
        return view.now >= sent &+ settings.pingTimeout ? .close(.keepalive) : nil
    }

    private mutating func ping(_ view: View) -> Action? {
        guard settings.pingInterval > 0, pingSent == nil, settings.pingsWithoutStreams || view.idleSince == nil,
            view.now >= quiet(view) &+ settings.pingInterval
        else { return nil }
        pingSent = view.now
        return .ping
    }

    private mutating func drain(_ view: View) -> Action? {
        if let end = lastEnd, view.now >= end {
            lastEnd = nil
            return .close(.maxAge)
        }
        if let end = graceEnd, view.now >= end {
            graceEnd = nil
            lastEnd = view.now &+ ConnectionSchedule.lastFrames
            return .endStreams
        }
        if let end = welcomeEnd, view.now >= end {
            welcomeEnd = nil
            return .notice
        }
        if let end = noticeEnd, view.now >= end {
            noticeEnd = nil
            return .endDrain
        }
        if ageEnd > 0, view.now >= ageEnd {
            ageEnd = 0
            if settings.maxAgeGrace > 0 { graceEnd = view.now &+ max(settings.maxAgeGrace, ConnectionSchedule.notice) }
            return isDraining ? nil : begin(.maxAge)
        }
        guard !isDraining, settings.maxIdle > 0, let since = view.idleSince, view.now >= since &+ settings.maxIdle
        else {
            return nil
        }
        return begin(.maxIdle)
    }

    private mutating func begin(_ reason: Reason) -> Action {
        isDraining = true
        return .drain(reason)
    }

    private func quiet(_ view: View) -> Instant { max(view.heardAt, begun) }

    /// When `next` is to be asked again; `nil`: not before something happens.
    func due(_ view: View) -> Instant? {
        var moments = [welcomeEnd, noticeEnd, graceEnd, lastEnd].compactMap { $0 }
        if !view.isEstablished && settings.handshake > 0 { moments.append(begun &+ settings.handshake) }
        if ageEnd > 0 { moments.append(ageEnd) }
        if settings.maxIdle > 0 && !isDraining { moments.append((view.idleSince ?? view.now) &+ settings.maxIdle) }
        if let sent = pingSent {
            moments.append(sent &+ settings.pingTimeout)
        } else if settings.pingInterval > 0 && view.isEstablished {
            // A stream may begin any time: without one it is enough to look now and then.
            let isWatched = settings.pingsWithoutStreams || view.idleSince == nil
            moments.append((isWatched ? quiet(view) : view.now) &+ settings.pingInterval)
        }
        return moments.min()
    }
}

extension ConnectionSchedule.Reason {
    /// For metrics, and the debug data of GOAWAY.
    var label: StaticString {
        switch self {
        case .handshake: "handshake_timeout"
        case .maxAge: "max_age"
        case .maxIdle: "max_idle"
        case .keepalive: "keepalive_timeout"
        }
    }

    /// Why the connection ended, for people.
    var text: String {
        switch self {
        case .handshake: "no HTTP/2 connection within connection.handshake_timeout"
        case .maxAge: "connection.max_age is over"
        case .maxIdle: "connection.max_idle is over"
        case .keepalive: "no answer to a PING within connection.keepalive.timeout"
        }
    }
}
