/// Streams in a row, first in, first out. A stream stands in one queue at most; its links are its own.
struct HTTP2StreamQueue {
    private(set) var first: HTTP2StreamPointer?
    private var last: HTTP2StreamPointer?

    @inline(__always) var isEmpty: Bool { first == nil }

    /// `stream` stands in no queue.
    @inline(__always) mutating func append(_ stream: HTTP2StreamPointer) {
        stream.pointee.nextInQueue = nil
        stream.pointee.previousInQueue = last
        if let last { last.pointee.nextInQueue = stream } else { first = stream }
        last = stream
    }

    @inline(__always) mutating func remove(_ stream: HTTP2StreamPointer) {
        let next = stream.pointee.nextInQueue
        let previous = stream.pointee.previousInQueue
        if let previous { previous.pointee.nextInQueue = next } else { first = next }
        if let next { next.pointee.previousInQueue = previous } else { last = previous }
        stream.pointee.nextInQueue = nil
        stream.pointee.previousInQueue = nil
    }
}
