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
    /// How long copies may take to go before load is shed, and how often that is looked at.
    private static let easing: (looks: Int, interval: UInt64) = (5, 20_000_000)
    /// Copies go so many points before requests are refused.
    private static let pointsBefore = 5
    /// Copies that hold less are no reason to wait: workers keep reserves of the account.
    private static let littleCopies = 1 << 20

    private let loop: EventLoop
    private let state: OverloadState
    private let copies: MemoryBudget
    private let log: Logger
    /// Ends all copies that requests can do without.
    private let dropCopies: () -> Void
    /// Ends the streams that hold most, about so many bytes in all.
    private let shed: (UInt64) -> Void
    private var config: MemoryOverloadConfig?
    private var timer: OwnedTimer?
    private var marks: OverloadMarks?
    private var limit: UInt64 = 0
    private var trimmedAt: Instant = 0
    private var resetAt: Instant = 0
    /// Looks for which load is not shed yet, because copies that have been ended are going.
    private var patience = 0

    init(
        loop: EventLoop, state: OverloadState, copies: MemoryBudget, log: Logger, dropCopies: @escaping () -> Void,
        shed: @escaping (UInt64) -> Void
    ) {
        self.loop = loop
        self.state = state
        self.copies = copies
        self.log = log
        self.dropCopies = dropCopies
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
                .dropCopies: max(1, overload.memory.refuseStreams - OverloadMonitor.pointsBefore),
                .refuseStreams: overload.memory.refuseStreams,
                .refuseConnections: overload.memory.refuseConnections,
                .resetStreams: overload.memory.resetStreams,
            ])
        look()
    }

    private func look() {
        guard var marks else { return }
        // Asked before memory is: what copies give back in between is not in that yet.
        let held = copies.used
        if patience > 0 { mg_trim_memory() }
        let used = MemoryGauge.resident()
        let level = settle(marks.update(used: used), held)
        self.marks = marks
        state.note(used: used, limit: limit)
        change(from: state.level, to: level, used: used)
        if level > .normal { relieve(level, used, marks) }
        timer?.set(after: patience > 0 ? OverloadMonitor.easing.interval : OverloadMonitor.interval)
    }

    /// Copies go before anything of clients is refused or ended: as long as they are going, nothing else happens.
    /// - Parameter held: bytes of copies.
    private func settle(_ level: OverloadLevel, _ held: Int) -> OverloadLevel {
        guard level > .normal else {
            patience = 0
            return level
        }
        let isFirst = state.level == .normal
        copies.setClosed(true)
        if isFirst { dropCopies() }
        guard level > .dropCopies, state.level < .refuseStreams, held > OverloadMonitor.littleCopies else {
            patience = 0
            return level
        }
        patience = isFirst ? OverloadMonitor.easing.looks : max(0, patience - 1)
        return patience > 0 ? .dropCopies : level
    }

    private func change(from old: OverloadLevel, to new: OverloadLevel, used: UInt64) {
        guard new != old else { return }
        state.set(new)
        copies.setClosed(new > .normal)
        let fields: Logger.Metadata = ["action": "\(new.label)", "memory": "\(used)", "limit": "\(limit)"]
        if new == .dropCopies && new > old {
            log.warning("memory is short: copies for mirrors and for further attempts end", metadata: fields)
        } else if new > old {
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
