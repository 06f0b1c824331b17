/// Streams that wait for a connection, first in, first out. Each holds one permit of those that may wait.
///
/// Members are addresses of records that end when their owners are told something, so there is no way to go through the queue:
/// members leave one at a time, and one that is removed is not told any more.
struct PendingStreamQueue {
    struct Entry {
        let pendingStream: PendingStream
        let wish: EndpointPreference?
        /// Goes up with every entry.
        fileprivate let number: UInt64
    }

    private let permits: SharedLimit
    /// Those before `head` have left.
    private var entries: [Entry] = []
    private var head = 0
    /// The number of the entry to come: `pop(before:)` stops there, so that who waits again is told in the next round.
    private(set) var end: UInt64 = 0

    init(permits: SharedLimit) { self.permits = permits }

    @inline(__always) var count: Int { entries.count - head }
    @inline(__always) var isEmpty: Bool { count == 0 }

    /// - Returns: false when no more may wait.
    mutating func append(_ pendingStream: PendingStream, _ wish: EndpointPreference? = nil) -> Bool {
        guard permits.tryBegin() else { return false }
        entries.append(Entry(pendingStream: pendingStream, wish: wish, number: end))
        end += 1
        return true
    }

    /// Takes the one that has waited for longest.
    /// - Parameter end: an earlier value of `end`; entries from there on stay.
    mutating func pop(before end: UInt64 = .max) -> Entry? {
        guard head < entries.count, entries[head].number < end else { return nil }
        let entry = entries[head]
        head += 1
        permits.end()
        compact()
        return entry
    }

    /// The stream is gone, or waits elsewhere. Nothing happens if it does not wait here.
    mutating func remove(_ owner: StreamOwner) {
        guard let index = entries[head...].firstIndex(where: { $0.pendingStream.owner == owner }) else { return }
        entries.remove(at: index)
        permits.end()
        compact()
    }

    /// Nobody hears of it.
    mutating func removeAll() {
        for _ in 0..<count { permits.end() }
        entries = []
        head = 0
    }

    private mutating func compact() {
        if head == entries.count {
            entries.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 64 && head * 2 >= entries.count {
            entries.removeFirst(head)
            head = 0
        }
    }
}
