import Logging

/// Says in the log which clients one worker has refused before HTTP/2 began, and why: a few lines at a time, however many
/// there are.
final class RefusalLog {
    private static let linesPerPeriod = 10
    /// Nanoseconds.
    private static let period: UInt64 = 10_000_000_000

    private let log: Logger
    private var begun: Instant = 0
    private var lines = 0
    /// Those that got no line since the last one.
    private var unsaid = 0

    init(_ log: Logger) { self.log = log }

    func note(_ reason: String, listener: String, remote: String, now: Instant) {
        if now &- begun >= RefusalLog.period {
            begun = now
            lines = 0
        }
        guard lines < RefusalLog.linesPerPeriod else {
            unsaid += 1
            return
        }
        lines += 1
        var fields: Logger.Metadata = ["listener": "\(listener)", "remote": "\(remote)", "reason": "\(reason)"]
        if unsaid > 0 { fields["others"] = "\(unsaid)" }
        unsaid = 0
        log.info("client refused", metadata: fields)
    }
}
