import Logging

/// Says in the log which peers of one worker were cut off, and for what: a few lines about each kind.
final class AbuseLog {
    private let log: Logger
    private var paces: [Abuse: LinePace] = [:]

    init(_ log: Logger) { self.log = log }

    /// - Parameter peer: who it was, as fields.
    func note(_ kind: Abuse, _ peer: Logger.Metadata, now: Instant) {
        guard let others = paces[kind, default: LinePace(lines: 3)].admit(at: now) else { return }
        var fields = peer
        fields["kind"] = "\(kind.label)"
        fields["reason"] = "\(kind.text)"
        if others > 0 { fields["others"] = "\(others)" }
        log.warning("peer cut off", metadata: fields)
    }
}
