/// One side of an exchange: a stream of a connection, and its place in that connection's list of open streams.
///
/// Part of a pooled record, at an address that does not change while the stream is open; nghttp2 carries that
/// address as the stream's user data.
struct HTTP2Stream {
    /// Who hears of the stream's events; kept by whoever hands the stream to a connection.
    var delegate: Unmanaged<StreamDelegate>?
    /// What the delegate knows the stream by.
    var owner: UnsafeMutableRawPointer?
    /// Set while the stream is open.
    fileprivate(set) var connection: Unmanaged<HTTP2Connection>?
    fileprivate(set) var id: Int32 = 0
    fileprivate var next: HTTP2StreamPointer?
    fileprivate var previous: HTTP2StreamPointer?

    @inline(__always) var isOpen: Bool { connection != nil }

    /// Calls `body` with the delegate and what it knows the stream by; `nil` for a stream that nobody owns.
    @inline(__always) func report<Result>(_ body: (StreamDelegate, UnsafeMutableRawPointer) -> Result) -> Result? {
        guard let delegate, let owner else { return nil }
        return delegate._withUnsafeGuaranteedRef { body($0, owner) }
    }
}

typealias HTTP2StreamPointer = UnsafeMutablePointer<HTTP2Stream>

/// The open streams of one connection, in no particular order.
struct HTTP2StreamList {
    private(set) var first: HTTP2StreamPointer?
    private(set) var count = 0

    mutating func insert(_ stream: HTTP2StreamPointer, _ id: Int32, of connection: HTTP2Connection) {
        stream.pointee.connection = Unmanaged.passUnretained(connection)
        stream.pointee.id = id
        stream.pointee.previous = nil
        stream.pointee.next = first
        first?.pointee.previous = stream
        first = stream
        count += 1
    }

    /// Calls `body` with the owner of every stream; it may close the stream it is given.
    func forEach(_ body: (UnsafeMutableRawPointer) -> Void) {
        var current = first
        while let stream = current {
            current = stream.pointee.next
            if let owner = stream.pointee.owner { body(owner) }
        }
    }

    mutating func remove(_ stream: HTTP2StreamPointer) {
        let next = stream.pointee.next
        if let previous = stream.pointee.previous { previous.pointee.next = next } else { first = next }
        next?.pointee.previous = stream.pointee.previous
        stream.pointee.connection = nil
        stream.pointee.next = nil
        stream.pointee.previous = nil
        count -= 1
    }
}

/// What an exchange asks of its streams. Asking a stream that is closed does nothing.
extension HTTP2Stream {
    @inline(__always) func resume() {
        guard let connection else { return }
        let id = id
        connection._withUnsafeGuaranteedRef { $0.resume(id) }
    }

    @inline(__always) func consume(_ count: Int) {
        guard let connection else { return }
        let id = id
        connection._withUnsafeGuaranteedRef { $0.consume(id, count) }
    }

    func reset(_ code: ErrorCode) {
        guard let connection else { return }
        let id = id
        connection._withUnsafeGuaranteedRef { $0.reset(id, code) }
    }

    func submitInterim(_ headers: UnsafeMutablePointer<HeaderList>) {
        guard let connection else { return }
        let id = id
        connection._withUnsafeGuaranteedRef { $0.submitInterim(id, headers) }
    }

    func submitTrailers(_ headers: UnsafeMutablePointer<HeaderList>) {
        guard let connection else { return }
        let id = id
        connection._withUnsafeGuaranteedRef { $0.submitTrailers(id, headers) }
    }
}

extension UnsafeMutablePointer where Pointee == HTTP2Stream {
    /// Answers a client. Asking a stream that is closed does nothing.
    func submitResponse(_ headers: UnsafeMutablePointer<HeaderList>, hasBody: Bool) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.submitResponse(self, headers, hasBody: hasBody) }
    }
}
