import Glibc

/// Moves lines from rings to a destination as far as that is possible without waiting.
///
/// Lines come out whole: one that was begun is finished before another ring's turn, and one whose beginning went to
/// a destination that is gone is dropped.
struct LogPump {
    enum Progress: Equatable {
        /// Nothing to do.
        case idle
        case worked
        /// The destination takes no more for now.
        case blocked(file: Int32)
    }

    private let rings: [ByteRing]
    private let lost: (UInt64) -> Void
    /// What each ring held at the last look, and still does.
    private var seen: [Int]
    private var destination: LogDestination?
    /// The ring whose newest line is written in part.
    private var cutRing: Int?
    /// The destination's last line is written in part and will not be finished: the next one begins behind a line break.
    private var owesLineBreak = false

    init(rings: [ByteRing], lost: @escaping (UInt64) -> Void) {
        self.rings = rings
        self.lost = lost
        seen = rings.map { _ in 0 }
    }

    /// Takes note of what the rings hold: only that is moved. To be called before one asks for the destination, which
    /// is meant for all lines that come after it was named.
    mutating func look() { for index in rings.indices { seen[index] = rings[index].unread } }

    /// The rings are empty.
    var isDone: Bool { rings.allSatisfy { $0.unread == 0 } }

    /// - Parameter destination: `nil` throws lines away.
    mutating func use(_ destination: LogDestination?) {
        guard destination !== self.destination else { return }
        self.destination = destination
        owesLineBreak = false
        guard let index = cutRing else { return }
        _ = skipLine(rings[index])
        seen[index] = min(seen[index], rings[index].unread)
        cutRing = nil
        lost(1)
    }

    mutating func pump() -> Progress {
        var progress = Progress.idle
        if let index = cutRing {
            progress = drain(index)
            if case .blocked = progress { return progress }
        }
        for index in rings.indices {
            switch drain(index) {
            case .idle: continue
            case .worked: progress = .worked
            case .blocked(let file): return .blocked(file: file)
            }
        }
        return progress
    }

    /// Writes what was seen in the ring; what has come since waits for the next turn.
    private mutating func drain(_ index: Int) -> Progress {
        let ring = rings[index]
        guard seen[index] > 0 else { return .idle }
        while seen[index] > 0 {
            let chunk = ring.readable()
            let piece = chunk[0..<min(seen[index], chunk.count)]
            var count = piece.count
            if let destination {
                switch writeWhole(piece, to: destination) {
                case .wrote(let written):
                    count = written
                    cutRing = piece[count - 1] == UInt8(ascii: "\n") ? nil : index
                case .failed:
                    lost(LogPump.lines(piece))
                    owesLineBreak = owesLineBreak || cutRing != nil
                    cutRing = nil
                    // The ring's end may lie within a line, whose rest is of no use.
                    if piece[count - 1] != UInt8(ascii: "\n") {
                        ring.consume(count)
                        seen[index] = max(0, seen[index] - count - skipLine(ring))
                        lost(1)
                        continue
                    }
                case .wouldBlock: return .blocked(file: destination.file)
                }
            }
            ring.consume(count)
            seen[index] -= count
        }
        return .worked
    }

    private enum WriteResult {
        case wrote(Int)
        case wouldBlock
        case failed
    }

    private mutating func writeWhole(_ bytes: Bytes, to destination: LogDestination) -> WriteResult {
        if owesLineBreak {
            let result = "\n".withBytes { LogPump.write($0, to: destination) }
            guard case .wrote = result else { return result }
            owesLineBreak = false
        }
        return LogPump.write(bytes, to: destination)
    }

    private static func write(_ bytes: Bytes, to destination: LogDestination) -> WriteResult {
        var count = bytes.count
        if !destination.isRegularFile {
            var wait = pollfd(fd: destination.file, events: Int16(POLLOUT), revents: 0)
            if poll(&wait, 1, 0) == 0 { return .wouldBlock }
            // A pipe that is ready takes this much without waiting, even if it is in blocking mode, which must not
            // be changed: the other end of our standard output may belong to a shell.
            count = min(count, Int(PIPE_BUF))
        }
        while true {
            let written = Glibc.write(destination.file, bytes.base, count)
            if written > 0 { return .wrote(written) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            default: return .failed
            }
        }
    }

    /// - Returns: how many bytes that were.
    private func skipLine(_ ring: ByteRing) -> Int {
        var skipped = 0
        while true {
            let chunk = ring.readable()
            guard !chunk.isEmpty else { return skipped }
            let end = chunk.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }
            let count = end ?? chunk.count
            ring.consume(count)
            skipped += count
            if end != nil { return skipped }
        }
    }

    private static func lines(_ bytes: Bytes) -> UInt64 {
        bytes.buffer.reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
    }
}
