/// The connections of one worker on which HTTP/2 has not begun. Where there are too many, the one that has waited for longest
/// makes room: clients that mean it are through in no time, and those that hold connections open are not.
///
/// - Parameter Connection: with TLS and HTTP/2 before it, or with a PROXY header.
final class PendingHandshakes<Connection> {
    private var waiting: [UInt64: Connection] = [:]
    private var next: UInt64 = 0
    /// None that waits has a smaller number.
    private var oldest: UInt64 = 0

    /// - Returns: the connection's number, for `end`, and who has to go.
    func begin(_ connection: Connection, limit: Int) -> (number: UInt64, excess: Connection?) {
        let number = next
        next += 1
        waiting[number] = connection
        guard waiting.count > limit else { return (number, nil) }
        while waiting[oldest] == nil, oldest < number { oldest += 1 }
        return (number, waiting.removeValue(forKey: oldest))
    }

    /// HTTP/2 has begun, or the connection has ended.
    func end(_ number: UInt64) {
        waiting[number] = nil
        if waiting.isEmpty { oldest = next }
    }

    var isEmpty: Bool { waiting.isEmpty }

    /// Those that wait, in no particular order.
    var all: [Connection] { Array(waiting.values) }
}

extension RefusalLog {
    /// Why a connection has to go that waits for longest.
    static let tooManyHandshakes = "too many handshakes at a time"
}
