/// Body bytes that stand between frames of an output without being part of it: they still lie where they were read.
///
/// Good until the reader's buffer is filled again; whoever has loans settles them before. Memory comes from the pool of
/// outputs and is held only while there are loans.
struct BorrowedSegments {
    struct Loan {
        /// Octets of the output that come before it.
        let offset: Int
        let bytes: Bytes
    }

    private static let capacity = OutputPool.size / MemoryLayout<Loan>.stride

    private var loans: UnsafeMutablePointer<Loan>?
    private(set) var count = 0
    /// Octets of all loans.
    private(set) var size = 0

    @inline(__always) var isEmpty: Bool { count == 0 }
    @inline(__always) var isFull: Bool { count == BorrowedSegments.capacity }

    /// Not when it `isFull`.
    mutating func append(_ bytes: Bytes, behind offset: Int, _ pool: OutputPool) {
        let loans =
            loans ?? UnsafeMutableRawPointer(pool.take(OutputPool.size)).assumingMemoryBound(to: Loan.self)
        self.loans = loans
        (loans + count).initialize(to: Loan(offset: offset, bytes: bytes))
        count += 1
        size += bytes.count
    }

    /// Calls `body` with the pieces of the output and the loans between them, in their order.
    func forEachPart(of output: Bytes, _ body: (Bytes) -> Void) {
        var position = 0
        for index in 0..<count {
            guard let loan = loans?[index] else { return }
            if loan.offset > position { body(output[position..<loan.offset]) }
            body(loan.bytes)
            position = loan.offset
        }
        if output.count > position { body(output[position..<output.count]) }
    }

    mutating func clear(_ pool: OutputPool) {
        guard let loans else { return }
        pool.give(back: UnsafeMutableRawPointer(loans).assumingMemoryBound(to: UInt8.self), OutputPool.size)
        self = BorrowedSegments()
    }
}

/// Frames that have left a connection's output because some of their payloads are lent: they are written together, and
/// given back together.
struct SegmentedOutput {
    private var output: OutputBuffer
    private var loans: BorrowedSegments

    init(output: OutputBuffer, loans: BorrowedSegments) {
        self.output = output
        self.loans = loans
    }

    /// `forEachPart` calls at most so often.
    var mostParts: Int { 2 * loans.count + 1 }

    /// Calls `body` with the pieces of the output and the loans between them, in their order.
    func forEachPart(_ body: (Bytes) -> Void) { loans.forEachPart(of: output.bytes, body) }

    /// Must not be used afterwards.
    mutating func free(_ pool: OutputPool) {
        loans.clear(pool)
        output.clear(pool)
    }
}
