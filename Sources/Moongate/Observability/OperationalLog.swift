import Logging

/// What the process says about itself: JSON lines on standard error, from any thread, without waiting for it.
final class OperationalLog: Sendable {
    /// Many threads are one writer; locked for a copy in memory, never for a write to a file.
    private let ring: Locked<ByteRing>
    private let writer: LogWriter
    private let process: ProcessMetrics

    /// Longest line in bytes.
    fileprivate static let longestLine = 32 << 10

    init(
        process: ProcessMetrics, destination: LogDestination = .standardError, capacity: Int = 1 << 20
    ) throws(SystemError) {
        let ring = ByteRing(capacity: capacity)
        self.ring = Locked(ring)
        self.process = process
        writer = try LogWriter(
            name: "log", rings: [ring], destination: destination, lost: process.operationalLogLost)
    }

    /// A logger that writes here.
    ///
    /// - Parameter label: the part of the process that speaks; field `logger`.
    func logger(_ label: String, level: Logger.Level = .info) -> Logger {
        Logger(label: label) { label in OperationalLogHandler(label: label, log: self, logLevel: level) }
    }

    /// Writes what is waiting and ends the thread.
    func close() { writer.close() }

    /// As `close`, in two steps, so that several logs close at a time.
    func beginClosing(by deadline: Instant) { writer.beginClosing(by: deadline) }
    func waitUntilClosed(by limit: Instant) -> Bool { writer.waitUntilClosed(by: limit) }

    fileprivate func append(_ line: Bytes) {
        // `Bytes` is only lent, hence the copy under the lock and not a closure that outlives it.
        if !ring.withLock({ $0.write(line) }) { process.operationalLogLost(1) }
        writer.wake()
    }
}

/// One JSON object per event: time, level, logger, message, then the metadata by name.
struct OperationalLogHandler: LogHandler {
    let label: String
    let log: OperationalLog
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields = metadata
        if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
        if let own = event.metadata { fields.merge(own) { $1 } }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: OperationalLog.longestLine) { memory in
            var line = JSONLine(memory)
            line.field(Bytes("time"), unixMilliseconds: CalendarTime.unixMillisecondsNow())
            line.field("level", event.level.rawValue)
            line.field("logger", label)
            line.field("message", event.message.description)
            for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
                line.field(OperationalLogHandler.reserved.contains(key) ? "metadata." + key : key, value)
            }
            log.append(line.end())
        }
    }

    private static let reserved: Set<String> = ["time", "level", "logger", "message"]
}

extension JSONLine {
    /// Numbers and booleans stay what they are; everything else is text.
    fileprivate mutating func field(_ name: String, _ value: Logger.MetadataValue) {
        guard case .stringConvertible(let plain) = value, plain is Int64 || plain is Bool || isFinite(plain) else {
            return field(name, "\(value)")
        }
        name.withBytes { name in plain.description.withBytes { field(name, literal: $0) } }
    }

    private func isFinite(_ value: any CustomStringConvertible) -> Bool { (value as? Double)?.isFinite ?? false }

    fileprivate mutating func field(_ name: String, _ value: String) {
        name.withBytes { name in value.withBytes { value in field(name, value, longest: 8192) } }
    }
}
