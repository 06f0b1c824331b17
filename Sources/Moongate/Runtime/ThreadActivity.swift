import CMoongate
import Glibc
import Synchronization

/// What other threads can see of an event loop's thread: whether it takes turns, what CPU time it uses, whether it waits within a
/// turn, and where a script is that runs for long.
///
/// `@unchecked Sendable`: atomics, and a place that C makes for two threads; its address never changes.
final class ThreadActivity: @unchecked Sendable {
    private enum Column {
        static let pulse = 0
        static let generation = 1
        static let count = 2
    }

    private let block = CounterBlock(rows: 1, columns: Column.count)
    private let number = Atomic<pid_t>(0)
    private let clock = Atomic<clockid_t>(0)
    private let place: OpaquePointer?

    init() { place = mg_place_new() }

    /// The thread has ended by then.
    deinit { mg_place_free(place) }

    // MARK: On the thread

    /// To be called on the thread, before its loop runs.
    func begin(_ loop: EventLoop) {
        var (number, clock) = (pid_t(0), clockid_t(0))
        guard mg_thread_identity(&number, &clock) == 0 else { return }
        self.clock.store(clock, ordering: .relaxed)
        self.number.store(number, ordering: .releasing)
        mg_place_note(place)
        loop.pulse = block.row(0)[Column.pulse]
    }

    /// The thread is done.
    func end() { mg_place_note(nil) }

    /// A generation is in force on the thread.
    func took(generation: UInt64) { block.row(0)[Column.generation].set(generation) }

    // MARK: On any thread

    /// As `EventLoop.pulse`.
    var pulse: UInt64 { block.row(0)[Column.pulse].value }

    /// The newest generation in force on the thread; 0: the first one that the process had.
    var generation: UInt64 { block.row(0)[Column.generation].value }

    /// CPU time that the thread has used, in nanoseconds; 0 if the system does not say.
    var cpuTime: UInt64 {
        guard number.load(ordering: .acquiring) != 0 else { return 0 }
        var time = timespec()
        guard clock_gettime(clock.load(ordering: .relaxed), &time) == 0 else { return 0 }
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// The thread waits in the kernel, for a file or a lock: it neither runs nor waits for its turn on a core (`R` in proc(5)).
    var isBlocked: Bool {
        let number = number.load(ordering: .acquiring)
        guard number != 0, let content = try? FileReader.read("/proc/self/task/\(number)/stat"),
            let end = content.lastIndex(of: UInt8(ascii: ")")), content.indices.contains(end + 2)
        else { return false }
        return content[end + 2] != UInt8(ascii: "R")
    }

    /// Where a script is.
    struct ScriptPlace: Equatable {
        var file: String
        var line: Int
        /// The file whose hook runs; another one than `file` in functions of modules.
        var hookFile: String
    }

    /// `nil`: no script runs for long.
    var scriptPlace: ScriptPlace? {
        guard let place else { return nil }
        let size = 256
        var (file, hookFile, line) = ([CChar](repeating: 0, count: size), [CChar](repeating: 0, count: size), Int32(0))
        guard mg_place_read(place, &file, &hookFile, size, &line) else { return nil }
        return ScriptPlace(file: ThreadActivity.text(file), line: Int(line), hookFile: ThreadActivity.text(hookFile))
    }

    private static func text(_ name: [CChar]) -> String {
        String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
