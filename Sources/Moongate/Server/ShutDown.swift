import Glibc
import Logging

/// The last moments of the process: its threads end and its logs are written, and nobody is waited for longer than there is time.
struct ShutDown {
    enum Haste {
        /// The streams have ended, or have had their time.
        case orderly
        /// A second signal: whoever sent it wants the process gone, within a second.
        case atOnce

        /// How long policies have for what they have kept. Part of the time for threads.
        var forPolicies: Duration { self == .orderly ? .seconds(1) : .milliseconds(100) }
        fileprivate var forThreads: Duration { self == .orderly ? .seconds(2) : .milliseconds(250) }
        fileprivate var forLogs: Duration { self == .orderly ? .seconds(1) : .milliseconds(300) }
        /// How long a log may hang in a write beyond that.
        fileprivate var forLastWrite: Duration { self == .orderly ? .milliseconds(500) : .milliseconds(100) }
    }

    private let haste: Haste
    private let deadline: Instant
    private var left: [String] = []

    init(_ haste: Haste) {
        self.haste = haste
        deadline = Clock.now() &+ haste.forThreads.nanoseconds
    }

    /// - Parameter end: waits until the deadline for the end of a thread, and says whether it has ended.
    mutating func wait(for name: String, _ end: (_ deadline: Instant) -> Bool) {
        if !end(deadline) { left.append(name) }
    }

    /// As `wait`, for a thread that has not been asked to end yet: others that hang leave it a moment.
    mutating func ask(_ name: String, _ end: (_ deadline: Instant) -> Bool) {
        if !end(max(deadline, Clock.now() &+ ShutDown.moment)) { left.append(name) }
    }

    private static let moment: UInt64 = 20_000_000

    /// Writes what the logs still have to say. Does not return when a thread has not ended: it would use what the end of a
    /// process destroys, and nobody waits for it.
    ///
    /// - Parameter code: the process's, in that case.
    func finish(_ log: Logger, _ accessLog: AccessLog, _ operationalLog: OperationalLog, code: Int32) {
        if !left.isEmpty {
            log.error(
                "threads do not end: leaving without them", metadata: ["threads": "\(left.joined(separator: ", "))"])
        }
        let areWritten = ShutDown.close(accessLog, operationalLog, haste)
        if !left.isEmpty || !areWritten { _exit(code) }
    }

    /// Writes what the logs still have to say, in the time that there is, for a process that leaves without an end.
    @discardableResult
    static func close(_ accessLog: AccessLog, _ operationalLog: OperationalLog, _ haste: Haste) -> Bool {
        let deadline = Clock.now() &+ haste.forLogs.nanoseconds
        accessLog.beginClosing(by: deadline)
        operationalLog.beginClosing(by: deadline)
        let limit = deadline &+ haste.forLastWrite.nanoseconds
        let isWritten = accessLog.waitUntilClosed(by: limit)
        return operationalLog.waitUntilClosed(by: limit) && isWritten
    }
}
