import Foundation
import Logging
import MoongateConfig
import Testing

@testable import Moongate

@Suite struct LogWriterTests {
    /// A folder that is gone after the test.
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.path + "/moongate-log-\(UUID().uuidString)"
        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
        func text(_ name: String) -> String { (try? String(contentsOfFile: path + "/" + name, encoding: .utf8)) ?? "" }
    }

    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<2000 {
            if condition() { return true }
            usleep(10_000)
        }
        return false
    }

    private func write(_ text: String, to ring: ByteRing) -> Bool { text.withBytes { ring.write($0) } }

    @Test func linesOfAllRingsReachTheFileWhole() throws {
        let folder = try Folder()
        let rings = [ByteRing(capacity: 1 << 12), ByteRing(capacity: 1 << 12)]
        let writer = try LogWriter(
            name: "t", rings: rings, destination: LogDestination(path: folder.path + "/log"), lost: { _ in })
        let threads = try rings.enumerated().map { index, ring in
            try OSThread.start(name: "w\(index)") {
                for line in 0..<2000 {
                    while !"\(index) \(line)\n".withBytes({ ring.write($0) }) { usleep(100) }
                    writer.wake()
                }
            }
        }
        for thread in threads { thread.join() }
        writer.close()
        let lines = folder.text("log").split(separator: "\n")
        for index in 0..<2 {
            #expect(lines.filter { $0.hasPrefix("\(index) ") } == (0..<2000).map { "\(index) \($0)" })
        }
        #expect(lines.count == 4000)
    }

    @Test func standardOutputThatNobodyReadsBlocksNoWorkerAndDropsAreCounted() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let registry = MetricsRegistry(workers: 1)
        let log = try AccessLog(metrics: registry)
        log.use(LogDestination(inherited: ends[1]))
        var record = AccessRecord()
        record.path = Bytes("/helloworld.Greeter/SayHello")
        let logger = log.logger(worker: 0)
        let began = ContinuousClock.now
        for _ in 0..<20_000 { logger.log(record) }
        #expect(ContinuousClock.now - began < .seconds(5))
        let dropped = registry.worker(0).accessLogDrops.value
        #expect(dropped > 5_000 && dropped < 20_000)
        let text = String(decoding: registry.exposition(), as: UTF8.self)
        #expect(text.contains("moongate_access_log_dropped_total{reason=\"queue_full\"} \(dropped)\n"))
        let closing = ContinuousClock.now
        log.close()
        #expect(ContinuousClock.now - closing < .seconds(3))
    }

    @Test func slowReaderGetsWholeLines() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (input, output) = (ends[0], ends[1])
        let ring = ByteRing(capacity: 1 << 20)
        let writer = try LogWriter(
            name: "t", rings: [ring], destination: LogDestination(inherited: output), lost: { _ in })
        let line = String(repeating: "x", count: 999) + "\n"
        for _ in 0..<500 { #expect(write(line, to: ring)) }
        writer.wake()
        usleep(50_000)
        let read = Locked("")
        let reader = try OSThread.start(name: "r") {
            var buffer = [UInt8](repeating: 0, count: 70_000)
            while true {
                let count = Glibc.read(input, &buffer, buffer.count)
                guard count > 0 else { return }
                read.withLock { $0 += String(decoding: buffer[..<count], as: UTF8.self) }
            }
        }
        writer.close(timeout: .seconds(5))
        close(output)
        reader.join()
        close(input)
        #expect(read.withLock { $0 } == String(repeating: line, count: 500))
    }

    @Test func reopenFollowsARotation() throws {
        let folder = try Folder()
        let ring = ByteRing(capacity: 4096)
        let path = folder.path + "/log"
        let writer = try LogWriter(
            name: "t", rings: [ring], destination: LogDestination(path: path), lost: { _ in })
        #expect(write("one\n", to: ring))
        writer.wake()
        #expect(eventually { folder.text("log") == "one\n" })
        #expect(rename(path, path + ".1") == 0)
        writer.reopen()
        #expect(eventually { FileManager.default.fileExists(atPath: path) })
        #expect(write("two\n", to: ring))
        writer.close()
        #expect(folder.text("log") == "two\n")
        #expect(folder.text("log.1") == "one\n")
    }

    @Test func failedReopenKeepsTheOldFile() throws {
        let folder = try Folder()
        let ring = ByteRing(capacity: 4096)
        let path = folder.path + "/sub/log"
        try FileManager.default.createDirectory(atPath: folder.path + "/sub", withIntermediateDirectories: false)
        let writer = try LogWriter(
            name: "t", rings: [ring], destination: LogDestination(path: path), lost: { _ in })
        #expect(rename(folder.path + "/sub", folder.path + "/moved") == 0)
        writer.reopen()
        usleep(50_000)
        #expect(write("one\n", to: ring))
        writer.close()
        #expect(folder.text("moved/log") == "one\n")
    }

    @Test func cutLineIsDroppedWhenTheDestinationChanges() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let folder = try Folder()
        let ring = ByteRing(capacity: 1 << 20)
        let process = ProcessMetrics()
        var pump = LogPump(rings: [ring], lost: process.accessLogLost)
        pump.use(LogDestination(inherited: ends[1]))
        // One line that is longer than a pipe holds.
        #expect(write(String(repeating: "a", count: 200_000) + "\n", to: ring))
        #expect(write("b\n", to: ring))
        pump.look()
        #expect(pump.pump() == .blocked(file: ends[1]))
        pump.use(try LogDestination(path: folder.path + "/log"))
        pump.look()
        #expect(pump.pump() == .worked)
        pump.look()
        #expect(pump.pump() == .idle)
        #expect(folder.text("log") == "b\n")
        #expect(process.values.accessLogFailures == 1)
    }

    @Test func refusedLinesAreCounted() throws {
        let full = Glibc.open("/dev/full", O_WRONLY)
        defer { close(full) }
        let registry = MetricsRegistry(workers: 1)
        let log = try OperationalLog(process: registry.process, destination: LogDestination(inherited: full))
        let logger = log.logger("test")
        for _ in 0..<3 { logger.info("lost") }
        log.close()
        #expect(registry.process.values.operationalLogDrops == 3)
    }

    /// The writer may have asked for its destination a moment before one was named.
    @Test func aLineWrittenForADestinationIsNotThrownAwayForWantOfIt() throws {
        let folder = try Folder()
        let ring = ByteRing(capacity: 1 << 12)
        var pump = LogPump(rings: [ring], lost: { _ in })
        pump.look()
        pump.use(nil)
        #expect(write("line\n", to: ring))
        #expect(pump.pump() == .idle && !pump.isDone)
        pump.look()
        pump.use(try LogDestination(path: folder.path + "/log"))
        #expect(pump.pump() == .worked && pump.isDone)
        #expect(folder.text("log") == "line\n")
    }

    @Test func accessLogFollowsItsConfiguration() throws {
        let folder = try Folder()
        let registry = MetricsRegistry(workers: 1)
        let log = try AccessLog(metrics: registry)
        let logger = log.logger(worker: 0)
        #expect(!logger.isEnabled)
        logger.log(AccessRecord())
        log.use(try AccessLog.open(AccessLogConfig(destination: .file(folder.path + "/access"))))
        #expect(logger.isEnabled)
        logger.log(AccessRecord())
        #expect(eventually { folder.text("access").hasSuffix("}\n") })
        log.use(try AccessLog.open(nil))
        #expect(!logger.isEnabled)
        log.close()
        #expect(folder.text("access").split(separator: "\n").count == 1)
        #expect(throws: SystemError.self) {
            try AccessLog.open(AccessLogConfig(destination: .file(folder.path + "/none/access")))
        }
    }

    @Test func operationalLogIsJSONWithMetadata() throws {
        let folder = try Folder()
        let registry = MetricsRegistry(workers: 1)
        let log = try OperationalLog(
            process: registry.process, destination: LogDestination(path: folder.path + "/log"))
        var logger = log.logger("reload")
        logger[metadataKey: "generation"] = "4"
        logger.debug("not shown")
        logger.warning("\"kept\"\n", metadata: ["file": "a.lua:3", "level": "own", "list": ["a", "b"]])
        log.close()
        let text = folder.text("log")
        #expect(text.split(separator: "\n").count == 1)
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: String]
        #expect(object?["level"] == "warning")
        #expect(object?["logger"] == "reload")
        #expect(object?["message"] == "\"kept\"\n")
        #expect(object?["generation"] == "4")
        #expect(object?["file"] == "a.lua:3")
        #expect(object?["metadata.level"] == "own")
        #expect(object?["list"] == "[\"a\", \"b\"]")
    }
}
