/// One side of an exchange: a stream of a connection, and where it stands there.
///
/// Part of a pooled record, at an address that does not change while the stream is open.
struct StreamRecord {
    /// Who hears of the stream's events; kept by whoever hands the stream to a connection.
    var delegate: Unmanaged<StreamDelegate>?
    /// What the delegate knows the stream by.
    var owner: StreamOwner?
    /// Set while the stream is open.
    fileprivate(set) var connection: Unmanaged<EngineHost>?
    fileprivate(set) var id: Int32
    fileprivate var next: Stream?
    fileprivate var previous: Stream?

    // MARK: Its place among the streams that wait, which only `StreamQueues` changes

    fileprivate(set) var queue = Queue.none
    fileprivate var nextInQueue: Stream?
    fileprivate var previousInQueue: Stream?

    var state = StreamState()

    /// Where a stream waits for its turn to send.
    enum Queue: UInt8 {
        case none, ready
        /// It has something to send, but no window of its own. No row: a window, or something to send without one, wakes it.
        case parked
        /// For the kernel to take bytes again.
        case blocked
        /// For the connection's window.
        case starved
    }

    /// - Parameter id: until the stream is opened.
    init(id: Int32 = 0) { self.id = id }

    @inline(__always) var isOpen: Bool { connection != nil }
}

/// A stream. Good until the record that it is part of is used for something else.
typealias Stream = Handle<StreamRecord>

extension Handle where Record == StreamRecord {
    // Said here again: the compiler does not always see through the key path that stands for it.
    @inline(__always) var state: StreamState {
        get { pointer.pointee.state }
        nonmutating _modify { yield &pointer.pointee.state }
    }

    /// Calls `body` with the delegate and what it knows the stream by; `nil` for a stream that nobody owns.
    @inline(__always) func report<Result>(_ body: (StreamDelegate, StreamOwner) -> Result) -> Result? {
        guard let delegate = self.delegate, let owner = self.owner else { return nil }
        return delegate._withUnsafeGuaranteedRef { body($0, owner) }
    }
}

/// The open streams of one connection: by number, and in no particular order.
struct OpenStreams {
    private(set) var first: Stream?
    private var table = StreamTable()

    @inline(__always) var count: Int { table.count }

    /// The list must not be used afterwards.
    func free() { table.free() }

    @inline(__always) subscript(id: Int32) -> Stream? { table[id] }

    mutating func insert(_ stream: Stream, _ id: Int32, of connection: EngineHost) {
        assert(!stream.isOpen, "a stream is open already")
        assert(stream.queue == .none, "a stream that is not open stands in a queue")
        stream.connection = Unmanaged.passUnretained(connection)
        stream.id = id
        stream.state = StreamState()
        stream.previous = nil
        stream.next = first
        first?.previous = stream
        first = stream
        table.insert(stream)
    }

    mutating func remove(_ stream: Stream) {
        assert(stream.queue == .none, "a stream ends in a queue")
        let next = stream.next
        if let previous = stream.previous { previous.next = next } else { first = next }
        next?.previous = stream.previous
        table.remove(stream)
        stream.connection = nil
        stream.next = nil
        stream.previous = nil
    }

    /// The stream behind `stream`, in no particular order.
    @inline(__always) func next(after stream: Stream) -> Stream? { stream.next }
}

/// The streams of one connection that wait to send, in rows, first in, first out.
///
/// A stream stands in one row or in none: it carries its place itself, and moves by `put` and `remove` alone.
struct StreamQueues {
    /// One row. Its members name it in `StreamRecord.queue`.
    private struct Row {
        var first: Stream?
        var last: Stream?

        @inline(__always) mutating func append(_ stream: Stream) {
            stream.nextInQueue = nil
            stream.previousInQueue = last
            if let last { last.nextInQueue = stream } else { first = stream }
            last = stream
        }

        @inline(__always) mutating func unlink(_ stream: Stream) {
            let next = stream.nextInQueue
            let previous = stream.previousInQueue
            if let previous { previous.nextInQueue = next } else { first = next }
            if let next { next.previousInQueue = previous } else { last = previous }
            stream.nextInQueue = nil
            stream.previousInQueue = nil
        }
    }

    private var ready = Row()
    private var blocked = Row()
    private var starved = Row()

    @inline(__always) var hasStarved: Bool { starved.first != nil }

    /// Puts the stream at the end of a row, unless it stands in that row already.
    @inline(__always) mutating func put(_ stream: Stream, _ queue: StreamRecord.Queue) {
        guard stream.queue != queue else { return }
        remove(stream)
        switch queue {
        case .none, .parked: break
        case .ready: ready.append(stream)
        case .blocked: blocked.append(stream)
        case .starved: starved.append(stream)
        }
        stream.queue = queue
    }

    /// Takes the stream out of the row where it stands, if any.
    @inline(__always) mutating func remove(_ stream: Stream) {
        switch stream.queue {
        case .none, .parked: break
        case .ready: ready.unlink(stream)
        case .blocked: blocked.unlink(stream)
        case .starved: starved.unlink(stream)
        }
        stream.queue = .none
    }

    /// Takes the first of the streams that can send; it stands in no row then.
    @inline(__always) mutating func popReady() -> Stream? {
        guard let stream = ready.first else { return nil }
        ready.unlink(stream)
        stream.queue = .none
        return stream
    }

    @inline(__always) var firstStarved: Stream? { starved.first }

    /// The kernel takes bytes again: those that have waited for it come before all others.
    @inline(__always) mutating func unblock() { if blocked.first != nil { unblockAll() } }

    private mutating func unblockAll() {
        let others = ready
        ready = blocked
        blocked = Row()
        var next = ready.first
        while let stream = next {
            stream.queue = .ready
            next = stream.nextInQueue
        }
        guard let first = others.first, let last = ready.last else { return }
        last.nextInQueue = first
        first.previousInQueue = last
        ready.last = others.last
    }

    /// For assertions: the rows hold so many streams, and each is linked both ways and knows its row.
    /// - Returns: `nil` where that does not hold.
    func checkedCount() -> Int? {
        var count = 0
        for (row, queue) in [(ready, StreamRecord.Queue.ready), (blocked, .blocked), (starved, .starved)] {
            var previous: Stream?
            var current = row.first
            while let stream = current {
                guard stream.queue == queue, stream.previousInQueue == previous,
                    stream.isOpen
                else { return nil }
                count += 1
                previous = stream
                current = stream.nextInQueue
            }
            guard row.last == previous else { return nil }
        }
        return count
    }
}
