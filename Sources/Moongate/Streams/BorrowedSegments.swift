/// Body bytes that stand between frames of an output without being part of it: they still lie where they were read.
///
/// They are good until the read buffer is filled again, and are written before that. Memory comes from the pool of outputs and is held
/// only while there are segments.
struct BorrowedSegments {
    struct Segment {
        /// Octets of the output that come before it.
        let offset: Int
        let bytes: Bytes
    }

    private static let capacity = OutputPool.size / MemoryLayout<Segment>.stride

    private var segments: UnsafeMutablePointer<Segment>?
    private(set) var count = 0
    /// Octets of all segments.
    private(set) var size = 0

    @inline(__always) var isEmpty: Bool { count == 0 }
    @inline(__always) var isFull: Bool { count == BorrowedSegments.capacity }

    /// Not when it `isFull`.
    mutating func append(_ bytes: Bytes, behind offset: Int, _ pool: OutputPool) {
        let segments =
            segments ?? UnsafeMutableRawPointer(pool.take(OutputPool.size)).assumingMemoryBound(to: Segment.self)
        self.segments = segments
        (segments + count).initialize(to: Segment(offset: offset, bytes: bytes))
        count += 1
        size += bytes.count
    }

    /// Calls `body` with the pieces of the output and the segments between them, in their order.
    func forEachPart(of output: Bytes, _ body: (Bytes) -> Void) {
        var position = 0
        for index in 0..<count {
            guard let segment = segments?[index] else { return }
            if segment.offset > position { body(output[position..<segment.offset]) }
            body(segment.bytes)
            position = segment.offset
        }
        if output.count > position { body(output[position..<output.count]) }
    }

    mutating func clear(_ pool: OutputPool) {
        guard let segments else { return }
        pool.give(back: UnsafeMutableRawPointer(segments).assumingMemoryBound(to: UInt8.self), OutputPool.size)
        self = BorrowedSegments()
    }
}

/// Frames that have left a connection's output because some of their payloads are lent: they are written together, and
/// given back together.
struct SegmentedOutput {
    private var output: OutputBuffer
    private var borrowed: BorrowedSegments

    init(output: OutputBuffer, borrowed: BorrowedSegments) {
        self.output = output
        self.borrowed = borrowed
    }

    /// `forEachPart` calls at most so often.
    var mostParts: Int { 2 * borrowed.count + 1 }

    /// Calls `body` with the pieces of the output and the segments between them, in their order.
    func forEachPart(_ body: (Bytes) -> Void) { borrowed.forEachPart(of: output.bytes, body) }

    /// Must not be used afterwards.
    mutating func free(_ pool: OutputPool) {
        borrowed.clear(pool)
        output.clear(pool)
    }
}
