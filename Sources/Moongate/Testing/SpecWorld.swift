import Foundation
import Logging
import MoongateConfig
import MoongateLua

/// What the policies of one spec file find around them: the log, checks of passwords, and where files lie.
final class SpecWorld {
    let verifier: PasswordVerifier?
    let log = SpecLog()
    /// Holds the shared state and its clock.
    private var registry = MetricsRegistry(workers: 1)
    /// `nil`: nobody asks which lines run.
    let lines: SpecLines?
    /// Folder of the spec.
    let folder: String
    /// Folders in which policies are looked for by name.
    let path: [String]
    let shipped: String?

    init(folder: String, path: [String], shipped: String?, verifier: PasswordVerifier?, lines: SpecLines?) {
        self.lines = lines
        self.folder = folder
        self.path = path
        self.shipped = shipped
        self.verifier = verifier
    }

    /// - Parameter files: contents by absolute path, which stand for those on disk.
    func loader(_ files: [String: [UInt8]]) -> PolicySourceLoader {
        PolicySourceLoader(
            read: { path, _ in
                if let bytes = files[path] { return bytes }
                do {
                    return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
                } catch {
                    throw PolicyFileFault("no such file")
                }
            },
            exists: { path in files[path] != nil || FileManager.default.fileExists(atPath: path) })
    }

    func services() -> PolicyServices {
        let (log, lines) = (log, lines)
        var services = PolicyServices(
            logger: Logger(label: "spec") { _ in SpecLogHandler(log: log) }, verifier: verifier, registry: registry,
            worker: 0)
        if let lines { services.watch = { lines.watch($0) } }
        return services
    }

    /// Before each test: a clock that runs, empty dicts and an empty log.
    func reset() {
        registry = MetricsRegistry(workers: 1)
        log.clear()
    }

    var clock: StateClock { registry.state.clock }
}

/// What policies logged.
final class SpecLog: Sendable {
    struct Line: Sendable {
        var level: Logger.Level
        var message: String
        var fields: [String: String]
    }
    private let kept = Locked<[Line]>([])

    func append(_ line: Line) { kept.withLock { $0.append(line) } }
    func clear() { kept.withLock { $0 = [] } }
    var lines: [Line] { kept.withLock { $0 } }
}

struct SpecLogHandler: LogHandler {
    let log: SpecLog
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]

    init(log: SpecLog) { self.log = log }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).mapValues { "\($0)" }
        log.append(SpecLog.Line(level: event.level, message: "\(event.message)", fields: fields))
    }
}
