import Glibc

/// Frames of one connection that wait for the end of the loop's turn, in the order in which they have to leave.
///
/// Memory is held only while there are frames; it comes from an `OutputPool`, which every call that may take or give
/// some is handed.
struct OutputBuffer {
    private var base: UnsafeMutablePointer<UInt8>?
    private var capacity = 0
    private(set) var count = 0

    @inline(__always) var isEmpty: Bool { count == 0 }

    /// Until the next change.
    @inline(__always) var bytes: Bytes {
        guard let base else { return .empty }
        return Bytes(base, count)
    }

    /// Room for `size` octets behind what is there; they count once `commit` says how many were written.
    @inline(__always) mutating func reserve(_ size: Int, _ pool: OutputPool) -> UnsafeMutablePointer<UInt8> {
        if let base, capacity - count >= size { return base + count }
        return grow(by: size, pool)
    }

    @inline(__always) mutating func commit(_ size: Int) { count += size }

    mutating func append(_ bytes: Bytes, _ pool: OutputPool) {
        guard bytes.count > 0 else { return }
        memcpy(reserve(bytes.count, pool), bytes.base, bytes.count)
        commit(bytes.count)
    }

    /// Forgets everything and gives the memory back.
    @inline(__always) mutating func clear(_ pool: OutputPool) {
        guard let base else { return }
        pool.give(back: base, capacity)
        self = OutputBuffer()
    }

    private mutating func grow(by size: Int, _ pool: OutputPool) -> UnsafeMutablePointer<UInt8> {
        let wanted = count + size
        let larger =
            wanted <= OutputPool.size
            ? OutputPool.size : wanted <= OutputPool.largeSize ? OutputPool.largeSize : max(wanted, capacity * 2)
        let new = pool.take(larger)
        if let base {
            memcpy(new, base, count)
            pool.give(back: base, capacity)
        }
        base = new
        capacity = larger
        return new + count
    }
}

/// Memory for the frames of one worker's connections, in pieces of two sizes. Thread-confined.
final class OutputPool {
    /// For heads and small bodies.
    static let size = 4 * 1024
    /// For large ones.
    static let largeSize = 128 * 1024

    private let small = PieceStack(keeping: 256)
    private let large = PieceStack(keeping: 8)

    func take(_ capacity: Int) -> UnsafeMutablePointer<UInt8> {
        (stack(capacity)?.take()) ?? .allocate(capacity: capacity)
    }

    func give(back piece: UnsafeMutablePointer<UInt8>, _ capacity: Int) {
        guard let stack = stack(capacity), stack.give(back: piece) else { return piece.deallocate() }
    }

    @inline(__always) private func stack(_ capacity: Int) -> PieceStack? {
        capacity == OutputPool.size ? small : capacity == OutputPool.largeSize ? large : nil
    }
}

/// Idle pieces of memory of one size.
private final class PieceStack {
    private let limit: Int
    private let pieces: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>>
    private let count = UnsafeMutablePointer<Int>.allocate(capacity: 1)

    init(keeping limit: Int) {
        self.limit = limit
        pieces = .allocate(capacity: limit)
        count.initialize(to: 0)
    }

    deinit {
        for index in 0..<count.pointee { pieces[index].deallocate() }
        pieces.deallocate()
        count.deallocate()
    }

    @inline(__always) func take() -> UnsafeMutablePointer<UInt8>? {
        guard count.pointee > 0 else { return nil }
        count.pointee -= 1
        return pieces[count.pointee]
    }

    /// False: there are enough.
    @inline(__always) func give(back piece: UnsafeMutablePointer<UInt8>) -> Bool {
        guard count.pointee < limit else { return false }
        (pieces + count.pointee).initialize(to: piece)
        count.pointee += 1
        return true
    }
}
