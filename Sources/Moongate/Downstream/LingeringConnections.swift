/// The clients' connections of one worker that are over but for their last octets. Where there are too many, the oldest goes:
/// each has a descriptor, which others want.
final class LingeringConnections {
    /// What may linger of all descriptors.
    private static let share: UInt64 = 8
    /// Where the system does not say how many there are.
    private static let usualDescriptors: UInt64 = 1024

    private let limit: Int
    private var open: [UInt64: LingeringClose] = [:]
    private var next: UInt64 = 0
    /// None that is open has a smaller number.
    private var oldest: UInt64 = 0

    /// - Parameter limit: at least one.
    init(limit: Int) { self.limit = max(1, limit) }

    /// The part of one of `workers`.
    static func limit(descriptors: UInt64, workers: Int) -> Int {
        let known = descriptors > 0 ? descriptors : usualDescriptors
        return max(1, Int(clamping: known / share) / max(1, workers))
    }

    var isEmpty: Bool { open.isEmpty }

    /// Has the peer get what was written, then closes.
    ///
    /// - Parameter whenEnded: called once, when the socket is closed.
    func add(_ leaving: LeavingTransport, loop: EventLoop, whenEnded: @escaping () -> Void) {
        let number = next
        next += 1
        let connection = LingeringClose(leaving, loop: loop) { [weak self] in
            self?.open[number] = nil
            whenEnded()
        }
        open[number] = connection
        if open.count > limit { endOldest() }
        connection.begin()
    }

    private func endOldest() {
        while oldest < next {
            defer { oldest += 1 }
            if let connection = open[oldest] { return connection.end() }
        }
    }

    /// Memory is short: closes those that keep what their clients have not taken.
    func endThoseThatHold() { for connection in Array(open.values) where connection.holds { connection.end() } }

    /// Closes all of them: their time is over.
    func endAll() { for connection in Array(open.values) { connection.end() } }
}
