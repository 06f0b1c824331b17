import Logging

/// Says in the log which peers of one worker were cut off, and for what: a few lines about each kind.
final class AbuseLog {
    private let log: Logger
    private var paces: [Abuse: LinePace] = [:]
    private var headLimits = LinePace(lines: 3)

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

    /// A server takes so few octets of headers that hardly a request fits.
    func noteHeadLimit(_ limit: Int, _ peer: Logger.Metadata, now: Instant) {
        guard let others = headLimits.admit(at: now) else { return }
        var fields = peer
        fields["limit"] = "\(limit)"
        if others > 0 { fields["others"] = "\(others)" }
        log.warning("upstream takes hardly any headers", metadata: fields)
    }
}
