import Synchronization

/// Which load the process sheds now: written by who watches memory, read by every thread.
final class OverloadState: Sendable {
    private let current = Atomic<UInt8>(0)
    private let refusedFrom = Atomic<Int32>(Int32.max)
    private let used = Atomic<UInt64>(0)
    private let limit = Atomic<UInt64>(0)
    private let refused = Atomic<UInt64>(0)
    private let reset = Atomic<UInt64>(0)

    /// New requests are not served.
    @inline(__always) var refusesStreams: Bool {
        current.load(ordering: .relaxed) >= OverloadLevel.refuseStreams.rawValue
    }

    var level: OverloadLevel { OverloadLevel(rawValue: current.load(ordering: .relaxed)) ?? .normal }

    /// Whether a connection with this descriptor is one too many. The kernel gives the lowest number that is free, so a
    /// high one says how many are in use.
    func isTooHigh(_ descriptor: Int32) -> Bool { descriptor >= refusedFrom.load(ordering: .relaxed) }

    func set(_ level: OverloadLevel) { current.store(level.rawValue, ordering: .relaxed) }

    /// - Parameter descriptor: the lowest that means too many.
    func refuseConnections(from descriptor: Int32) { refusedFrom.store(descriptor, ordering: .relaxed) }

    /// Bytes; a limit of 0: none.
    func note(used: UInt64, limit: UInt64) {
        self.used.store(used, ordering: .relaxed)
        self.limit.store(limit, ordering: .relaxed)
    }

    func streamRefused() { refused.add(1, ordering: .relaxed) }
    func streamReset() { reset.add(1, ordering: .relaxed) }

    /// Bytes in use as they were seen last, 0 without a limit.
    var memoryUsed: UInt64 { used.load(ordering: .relaxed) }
    /// Bytes, 0: no limit.
    var memoryLimit: UInt64 { limit.load(ordering: .relaxed) }
    var refusedStreams: UInt64 { refused.load(ordering: .relaxed) }
    var resetStreams: UInt64 { reset.load(ordering: .relaxed) }
}

/// What is shed; each level includes those below.
enum OverloadLevel: UInt8, Comparable, CaseIterable, Sendable {
    case normal, dropCopies, refuseStreams, refuseConnections, resetStreams

    /// For metrics and the log.
    var label: String {
        switch self {
        case .normal: "normal"
        case .dropCopies: "drop_copies"
        case .refuseStreams: "refuse_streams"
        case .refuseConnections: "refuse_connections"
        case .resetStreams: "reset_streams"
        }
    }

    static func < (one: OverloadLevel, other: OverloadLevel) -> Bool { one.rawValue < other.rawValue }
}

/// From the memory in use to the level, with some slack on the way down so that it does not flutter.
struct OverloadMarks {
    /// Bytes from which on each level but `normal` holds.
    private let marks: [(OverloadLevel, UInt64)]
    private let slack: UInt64
    private(set) var level = OverloadLevel.normal

    /// - Parameters:
    ///   - limit: in bytes.
    ///   - percentages: where each level but `normal` begins.
    init(limit: UInt64, _ percentages: KeyValuePairs<OverloadLevel, Int>) {
        marks = percentages.map { ($0.key, limit / 100 * UInt64(clamping: $0.value)) }
        slack = limit / 100 * 3
    }

    /// Takes note of what is in use.
    /// - Returns: the level that holds now.
    mutating func update(used: UInt64) -> OverloadLevel {
        level = marks.last { mark in used >= (mark.0 <= level ? mark.1 - min(mark.1, slack) : mark.1) }?.0 ?? .normal
        return level
    }

    /// Where a level begins, in bytes.
    func mark(of level: OverloadLevel) -> UInt64 { marks.first { $0.0 == level }?.1 ?? 0 }
}
