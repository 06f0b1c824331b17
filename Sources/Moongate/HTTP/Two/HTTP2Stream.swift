/// One side of an exchange: a stream of a connection, and where it stands there.
///
/// Part of a pooled record, at an address that does not change while the stream is open.
struct HTTP2Stream {
    /// Who hears of the stream's events; kept by whoever hands the stream to a connection.
    var delegate: Unmanaged<StreamDelegate>?
    /// What the delegate knows the stream by.
    var owner: UnsafeMutableRawPointer?
    /// Set while the stream is open.
    fileprivate(set) var connection: Unmanaged<HTTP2Connection>?
    fileprivate(set) var id: Int32
    fileprivate var next: HTTP2StreamPointer?
    fileprivate var previous: HTTP2StreamPointer?

    // MARK: Its place among the streams that wait, which only `HTTP2StreamQueues` changes

    fileprivate(set) var queue = Queue.none
    fileprivate var nextInQueue: HTTP2StreamPointer?
    fileprivate var previousInQueue: HTTP2StreamPointer?

    // MARK: For the connection

    var state = State()

    /// Made anew when the stream opens.
    struct State {
        /// Octets that the peer takes now; negative after it made its windows smaller (RFC 9113 §6.9.2).
        var sendWindow: Int32 = 0
        /// Octets that the peer may still send.
        var receiveWindow: Int32 = 0
        /// Octets that were passed on and are not announced to the peer yet.
        var consumed: Int32 = 0
        /// Octets that the peer may have under way.
        var window: Int32 = 0
        /// Octets of the body that `content-length` promises and that have not come; -1: any number.
        var expected: Int64 = -1
        /// The peer ended the connection for an error, before it has looked at the stream.
        var isCutOff = false
        /// With which code the stream is reset at the end of the turn.
        var resetCode = ErrorCode.noError
        /// Its part of `HTTP2State.heldHeads`.
        var headSize: Int32 = 0
        /// Its part of `HTTP2State.heldCalls`.
        var callSize = 0
        /// Its part of `HTTP2State.kept`.
        var kept = 0
        /// Its response needs more room than there is.
        var awaitsRoom = false
        /// The peer's (final) head has come.
        var hasHead = false
        /// The peer has ended its side.
        var peerEnded = false
        /// Our last frame has been handed to the transport, and its owner knows.
        var weEnded = false
        /// Our last frame is among the connection's output; its owner is told at the end of the turn.
        var endIsWritten = false
        /// The delegate has body bytes, or will have.
        var hasBody = false
        /// To be reset at the end of the turn: nothing else is sent, and nothing that comes is reported.
        var isReset = false
        /// The response to it has no body, whatever `content-length` says (RFC 9110 §8.6).
        var isHead = false
        /// It has something to send, but no window of its own.
        var lacksWindow = false

        // MARK: For `ConnectionStallDetector`

        /// Since when it has waited for a window, without one worth mentioning meanwhile; 0: it has not.
        var stalledSince: Instant = 0
        /// Changes with each DATA of the peer, and since when it has not; 0: not looked at.
        var mark: Int32 = 0
        var quietSince: Instant = 0
    }

    /// Where a stream waits for its turn to send.
    enum Queue: UInt8 {
        case none, ready
        /// For the kernel to take bytes again.
        case blocked
        /// For the connection's window.
        case starved
    }

    /// - Parameter id: until the stream is opened.
    init(id: Int32 = 0) { self.id = id }

    @inline(__always) var isOpen: Bool { connection != nil }

    /// Calls `body` with the delegate and what it knows the stream by; `nil` for a stream that nobody owns.
    @inline(__always) func report<Result>(_ body: (StreamDelegate, UnsafeMutableRawPointer) -> Result) -> Result? {
        guard let delegate, let owner else { return nil }
        return delegate._withUnsafeGuaranteedRef { body($0, owner) }
    }
}

typealias HTTP2StreamPointer = UnsafeMutablePointer<HTTP2Stream>

/// The open streams of one connection: by number, and in no particular order.
struct HTTP2StreamList {
    private(set) var first: HTTP2StreamPointer?
    private var table = HTTP2StreamTable()

    @inline(__always) var count: Int { table.count }

    /// The list must not be used afterwards.
    func free() { table.free() }

    @inline(__always) subscript(id: Int32) -> HTTP2StreamPointer? { table[id] }

    mutating func insert(_ stream: HTTP2StreamPointer, _ id: Int32, of connection: HTTP2Connection) {
        assert(!stream.pointee.isOpen, "a stream is open already")
        assert(stream.pointee.queue == .none, "a stream that is not open stands in a queue")
        stream.pointee.connection = Unmanaged.passUnretained(connection)
        stream.pointee.id = id
        stream.pointee.state = HTTP2Stream.State()
        stream.pointee.previous = nil
        stream.pointee.next = first
        first?.pointee.previous = stream
        first = stream
        table.insert(stream)
    }

    mutating func remove(_ stream: HTTP2StreamPointer) {
        assert(stream.pointee.queue == .none, "a stream ends in a queue")
        let next = stream.pointee.next
        if let previous = stream.pointee.previous { previous.pointee.next = next } else { first = next }
        next?.pointee.previous = stream.pointee.previous
        table.remove(stream)
        stream.pointee.connection = nil
        stream.pointee.next = nil
        stream.pointee.previous = nil
    }

    /// The stream behind `stream`, in no particular order.
    @inline(__always) func next(after stream: HTTP2StreamPointer) -> HTTP2StreamPointer? { stream.pointee.next }
}

/// The streams of one connection that wait to send, in rows, first in, first out.
///
/// A stream stands in one row or in none: it carries its place itself, and moves by `put` and `remove` alone.
struct HTTP2StreamQueues {
    /// One row. Its members name it in `HTTP2Stream.queue`.
    private struct Row {
        var first: HTTP2StreamPointer?
        var last: HTTP2StreamPointer?

        @inline(__always) mutating func append(_ stream: HTTP2StreamPointer) {
            stream.pointee.nextInQueue = nil
            stream.pointee.previousInQueue = last
            if let last { last.pointee.nextInQueue = stream } else { first = stream }
            last = stream
        }

        @inline(__always) mutating func unlink(_ stream: HTTP2StreamPointer) {
            let next = stream.pointee.nextInQueue
            let previous = stream.pointee.previousInQueue
            if let previous { previous.pointee.nextInQueue = next } else { first = next }
            if let next { next.pointee.previousInQueue = previous } else { last = previous }
            stream.pointee.nextInQueue = nil
            stream.pointee.previousInQueue = nil
        }
    }

    private var ready = Row()
    private var blocked = Row()
    private var starved = Row()

    @inline(__always) var hasStarved: Bool { starved.first != nil }

    /// Puts the stream at the end of a row, unless it stands in that row already.
    @inline(__always) mutating func put(_ stream: HTTP2StreamPointer, _ queue: HTTP2Stream.Queue) {
        guard stream.pointee.queue != queue else { return }
        remove(stream)
        switch queue {
        case .none: return
        case .ready: ready.append(stream)
        case .blocked: blocked.append(stream)
        case .starved: starved.append(stream)
        }
        stream.pointee.queue = queue
    }

    /// Takes the stream out of the row where it stands, if any.
    @inline(__always) mutating func remove(_ stream: HTTP2StreamPointer) {
        switch stream.pointee.queue {
        case .none: return
        case .ready: ready.unlink(stream)
        case .blocked: blocked.unlink(stream)
        case .starved: starved.unlink(stream)
        }
        stream.pointee.queue = .none
    }

    /// Takes the first of the streams that can send; it stands in no row then.
    @inline(__always) mutating func popReady() -> HTTP2StreamPointer? {
        guard let stream = ready.first else { return nil }
        ready.unlink(stream)
        stream.pointee.queue = .none
        return stream
    }

    @inline(__always) var firstStarved: HTTP2StreamPointer? { starved.first }

    /// The kernel takes bytes again: those that have waited for it come before all others.
    @inline(__always) mutating func unblock() { if blocked.first != nil { unblockAll() } }

    private mutating func unblockAll() {
        let others = ready
        ready = blocked
        blocked = Row()
        var next = ready.first
        while let stream = next {
            stream.pointee.queue = .ready
            next = stream.pointee.nextInQueue
        }
        guard let first = others.first, let last = ready.last else { return }
        last.pointee.nextInQueue = first
        first.pointee.previousInQueue = last
        ready.last = others.last
    }

    /// For assertions: the rows hold so many streams, and each is linked both ways and knows its row.
    /// - Returns: `nil` where that does not hold.
    func checkedCount() -> Int? {
        var count = 0
        for (row, queue) in [(ready, HTTP2Stream.Queue.ready), (blocked, .blocked), (starved, .starved)] {
            var previous: HTTP2StreamPointer?
            var current = row.first
            while let stream = current {
                guard stream.pointee.queue == queue, stream.pointee.previousInQueue == previous,
                    stream.pointee.isOpen
                else { return nil }
                count += 1
                previous = stream
                current = stream.pointee.nextInQueue
            }
            guard row.last == previous else { return nil }
        }
        return count
    }
}
