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

    // MARK: For the connection

    var state = State()
    var nextInQueue: HTTP2StreamPointer?
    var previousInQueue: HTTP2StreamPointer?

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
        /// With which code the stream is reset at the end of the turn.
        var resetCode = ErrorCode.noError
        var queue = Queue.none
        /// Its part of `HTTP2State.heldHeads`.
        var headSize: Int32 = 0
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

        // MARK: For `ConnectionWatch`

        /// Since when it has waited for a window, without one worth mentioning meanwhile; 0: it has not.
        var stalledSince: Instant = 0
        /// Changes with each DATA of the peer, and since when it has not; 0: not looked at.
        var mark: Int32 = 0
        var quietSince: Instant = 0
    }

    /// Where a stream waits for its turn to send.
    enum Queue: UInt8 {
        case none, ready
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
        let next = stream.pointee.next
        if let previous = stream.pointee.previous { previous.pointee.next = next } else { first = next }
        next?.pointee.previous = stream.pointee.previous
        table.remove(stream)
        stream.pointee.connection = nil
        stream.pointee.next = nil
        stream.pointee.previous = nil
    }

    /// Calls `body` with every stream; it may close the stream it is given.
    func forEachStream(_ body: (HTTP2StreamPointer) -> Void) {
        var current = first
        while let stream = current {
            current = stream.pointee.next
            body(stream)
        }
    }

    /// Calls `body` with the owner of every stream; it may close the stream it is given.
    func forEach(_ body: (UnsafeMutableRawPointer) -> Void) {
        forEachStream { if let owner = $0.pointee.owner { body(owner) } }
    }
}

/// What an exchange asks of its streams. Asking a stream that is closed does nothing.
extension UnsafeMutablePointer where Pointee == HTTP2Stream {
    /// There is something to read again after `BodyRead.later`.
    @inline(__always) func resume() {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.resume(self) }
    }

    /// Sends body bytes at the end of this turn, as far as they may leave then, ahead of what `readBody` would give.
    /// - Returns: how many were taken.
    @inline(__always) func pass(_ bytes: Bytes) -> Int {
        guard let connection = pointee.connection else { return 0 }
        return connection._withUnsafeGuaranteedRef { $0.pass(self, bytes) }
    }

    /// Lets the peer send `count` more bytes: they have been passed on.
    @inline(__always) func consume(_ count: Int) {
        guard count > 0, let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.consume(self, count) }
    }

    /// Whether the response may have so many octets more under way.
    func widen(_ octets: Int) -> Bool {
        guard let connection = pointee.connection else { return false }
        return connection._withUnsafeGuaranteedRef { $0.widen(self, octets) }
    }

    /// Whether policies may keep so many octets more of the response; if not, `roomIsBack` tells when to ask again.
    func keep(_ octets: Int) -> Bool {
        guard let connection = pointee.connection else { return false }
        return connection._withUnsafeGuaranteedRef { $0.keep(self, octets) }
    }

    /// So many octets of it are kept no more.
    func release(_ octets: Int) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.release(self, octets) }
    }

    /// Ends the stream at the end of the turn; what is queued of its body is dropped.
    func reset(_ code: ErrorCode) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.reset(self, code) }
    }

    /// Passes a 1xx head on.
    func submitInterim(_ headers: UnsafeMutablePointer<HeaderList>) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.submitHead(headers, self, endsStream: false) }
    }

    /// Answers a client.
    /// - Parameter hasBody: the delegate will be asked for body bytes; otherwise the head ends the stream.
    func submitResponse(_ headers: UnsafeMutablePointer<HeaderList>, hasBody: Bool) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.submitResponse(self, headers, hasBody: hasBody) }
    }

    /// Ends our side with trailers.
    func submitTrailers(_ headers: UnsafeMutablePointer<HeaderList>) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.submitTrailers(self, headers) }
    }
}
