import Logging

/// Says in the log which clients one worker has refused before HTTP/2 began, and why.
final class RefusalLog {
    private let log: Logger
    private var pace = LinePace(lines: 10)

    init(_ log: Logger) { self.log = log }

    func note(_ reason: String, listener: String, remote: @autoclosure () -> String, now: Instant) {
        guard let others = pace.admit(at: now) else { return }
        var fields: Logger.Metadata = ["listener": "\(listener)", "remote": "\(remote())", "reason": "\(reason)"]
        if others > 0 { fields["others"] = "\(others)" }
        log.info("client refused", metadata: fields)
    }
}
