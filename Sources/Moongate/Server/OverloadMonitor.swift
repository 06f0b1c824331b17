import CMoongate
import Logging
import MoongateConfig

/// Looks at the process's memory ten times a second and sheds load in a fixed order as it comes near its limit. Lives on one
/// event loop.
final class OverloadMonitor {
    private static let interval: UInt64 = 100_000_000
    /// Giving memory back to the system locks the allocator for a moment.
    private static let trimInterval: UInt64 = 1_000_000_000
    /// What was reset takes a moment to be given back.
    private static let resetInterval: UInt64 = 500_000_000

    private let loop: EventLoop
    private let state: OverloadState
    private let log: Logger
    /// Ends the streams that hold most, about so many bytes in all.
    private let shed: (UInt64) -> Void
    private var config: MemoryOverloadConfig?
    private var timer: OwnedTimer?
    private var marks: OverloadMarks?
    private var limit: UInt64 = 0
    private var trimmedAt: Instant = 0
    private var resetAt: Instant = 0

    init(loop: EventLoop, state: OverloadState, log: Logger, shed: @escaping (UInt64) -> Void) {
        self.loop = loop
        self.state = state
        self.log = log
        self.shed = shed
        timer = OwnedTimer(loop) { [weak self] in self?.look() }
    }

    /// Takes over what the configuration says now.
    func use(_ overload: OverloadConfig) {
        let files = FileLimit.soft()
        let first = min(files, UInt64(Int32.max)) * UInt64(clamping: overload.descriptors.refuseConnections) / 100
        state.refuseConnections(from: files > 0 ? Int32(clamping: max(1, first)) : .max)
        guard overload.memory != config else { return }
        config = overload.memory
        limit = overload.memory.limit.map { UInt64(clamping: $0) } ?? MemoryGauge.groupLimit() ?? 0
        guard limit > 0 else {
            marks = nil
            timer?.clear()
            state.note(used: 0, limit: 0)
            return change(from: state.level, to: .normal, used: 0)
        }
        marks = OverloadMarks(
            limit: limit,
            [
                .refuseStreams: overload.memory.refuseStreams,
                .refuseConnections: overload.memory.refuseConnections,
                .resetStreams: overload.memory.resetStreams,
            ])
        look()
    }

    private func look() {
        guard var marks else { return }
        let used = MemoryGauge.resident()
        let level = marks.update(used: used)
        self.marks = marks
        state.note(used: used, limit: limit)
        change(from: state.level, to: level, used: used)
        if level > .normal { relieve(level, used, marks) }
        timer?.set(after: OverloadMonitor.interval)
    }

    private func change(from old: OverloadLevel, to new: OverloadLevel, used: UInt64) {
        guard new != old else { return }
        state.set(new)
        let fields: Logger.Metadata = ["action": "\(new.label)", "memory": "\(used)", "limit": "\(limit)"]
        if new > old {
            log.warning("overload: memory", metadata: fields)
        } else {
            log.notice(new == .normal ? "overload is over" : "overload: memory", metadata: fields)
        }
    }

    private func relieve(_ level: OverloadLevel, _ used: UInt64, _ marks: OverloadMarks) {
        let now = loop.now
        if now >= trimmedAt &+ OverloadMonitor.trimInterval {
            trimmedAt = now
            mg_trim_memory()
        }
        guard level == .resetStreams, now >= resetAt &+ OverloadMonitor.resetInterval else { return }
        resetAt = now
        let target = marks.mark(of: .refuseConnections)
        shed(max(1, used - min(used, target)))
        // What that frees is to be seen at once.
        trimmedAt = 0
    }
}
