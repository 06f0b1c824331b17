import MoongateConfig
import Synchronization

/// The access log of the process: a ring per worker and the one thread that empties them.
final class AccessLog: Sendable {
    private let rings: [ByteRing]
    fileprivate let writer: LogWriter
    private let enabled = Atomic<Bool>(false)
    private let metrics: MetricsRegistry

    /// Bytes of lines that may wait per worker: some 2,500 requests.
    private static let ringSize = 1 << 20

    /// Starts the writer, without a destination.
    init(metrics: MetricsRegistry) throws(SystemError) {
        self.metrics = metrics
        rings = (0..<metrics.workers).map { _ in ByteRing(capacity: AccessLog.ringSize) }
        let process = metrics.process
        writer = try LogWriter(
            name: "access-log", rings: rings, destination: nil, lost: process.accessLogLost)
    }

    /// Does somebody read the records? Cheap enough to ask per request.
    @inline(__always) var isEnabled: Bool { enabled.load(ordering: .relaxed) }

    /// Where a new configuration wants its lines: opened before the generation is switched, so that a path that
    /// cannot be written rejects the reload.
    ///
    /// - Returns: `nil` for no access log.
    static func open(_ config: AccessLogConfig?) throws(SystemError) -> LogDestination? {
        switch config?.destination {
        case nil: nil
        case .standardOutput: .standardOutput
        case .file(let path): try LogDestination(path: path)
        }
    }

    /// Later lines go to `destination`.
    func use(_ destination: LogDestination?) {
        // Lines that nobody has a destination for are thrown away.
        if destination == nil { enabled.store(false, ordering: .relaxed) }
        writer.use(destination)
        if destination != nil { enabled.store(true, ordering: .releasing) }
    }

    /// After log rotation.
    func reopen() { writer.reopen() }

    /// Writes what is waiting and ends the thread; to be called when the workers have ended.
    func close() { writer.close() }

    /// As `close`, in two steps, so that several logs close at a time.
    func beginClosing(by deadline: Instant) { writer.beginClosing(by: deadline) }
    func waitUntilClosed(by limit: Instant) -> Bool { writer.waitUntilClosed(by: limit) }

    /// The writing end of one worker; for its thread only.
    func logger(worker: Int) -> AccessLogger {
        AccessLogger(log: self, ring: rings[worker], drops: metrics.worker(worker).accessLogDrops)
    }
}

/// One worker's end of the access log. Not Sendable: owned and used by the worker's thread.
final class AccessLogger {
    private let log: AccessLog
    private let ring: ByteRing
    private let drops: Counter
    private let line = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: AccessRecord.longestLine)

    fileprivate init(log: AccessLog, ring: ByteRing, drops: Counter) {
        self.log = log
        self.ring = ring
        self.drops = drops
    }

    deinit { line.deallocate() }

    var isEnabled: Bool { log.isEnabled }

    /// Queues one line. Never waits: if the queue is full, the line is dropped and counted.
    func log(_ record: borrowing AccessRecord) {
        guard log.isEnabled else { return }
        if !ring.write(record.write(into: line)) { drops.add() }
        log.writer.wake()
    }
}
