import CMoongate

/// Blocks of three sizes for bodies on their way: for unary messages, for the first window of a response, and for a full DATA
/// frame. Thread-confined. AddressSanitizer sees the bytes of idle ones as freed in builds with checks.
final class BlockPool {
    /// The head of every block; the bytes lie behind it.
    struct Block {
        var next: UnsafeMutablePointer<Block>?
        var start: Int32
        var end: Int32
        var capacity: Int32
    }
    typealias BlockPointer = UnsafeMutablePointer<Block>

    static let headerSize = MemoryLayout<Block>.stride
    static let smallCapacity = 1024 - headerSize
    static let mediumCapacity = 4 * 1024
    static let largeCapacity = 16 * 1024

    private var small = Shelf(capacity: smallCapacity)
    private var medium = Shelf(capacity: mediumCapacity)
    private var large = Shelf(capacity: largeCapacity)

    deinit {
        small.free()
        medium.free()
        large.free()
    }

    /// An empty block with room for `wanted` bytes or for as many as the largest size holds.
    func take(for wanted: Int) -> BlockPointer {
        if wanted <= BlockPool.smallCapacity { return small.take() }
        return wanted <= BlockPool.mediumCapacity ? medium.take() : large.take()
    }

    func give(back block: BlockPointer) {
        switch Int(block.pointee.capacity) {
        case BlockPool.smallCapacity: small.put(block)
        case BlockPool.mediumCapacity: medium.put(block)
        default: large.put(block)
        }
    }

    /// Where a block's bytes begin.
    @inline(__always) static func bytes(_ block: BlockPointer) -> UnsafeMutablePointer<UInt8> {
        (UnsafeMutableRawPointer(block) + headerSize).assumingMemoryBound(to: UInt8.self)
    }

    /// Idle blocks of one size.
    private struct Shelf {
        /// How many are kept; more go back to the system.
        private static let limit = 256

        let capacity: Int
        private var first: BlockPointer?
        private var count = 0

        init(capacity: Int) { self.capacity = capacity }

        mutating func take() -> BlockPointer {
            guard let block = first else { return make() }
            first = block.pointee.next
            count -= 1
            block.pointee.next = nil
            block.pointee.start = 0
            block.pointee.end = 0
            #if CHECKED
                mg_unpoison(BlockPool.bytes(block), capacity)
            #endif
            return block
        }

        mutating func put(_ block: BlockPointer) {
            guard count < Shelf.limit else { return UnsafeMutableRawPointer(block).deallocate() }
            block.pointee.next = first
            first = block
            count += 1
            #if CHECKED
                mg_poison(BlockPool.bytes(block), capacity)
            #endif
        }

        func free() {
            var next = first
            while let block = next {
                next = block.pointee.next
                UnsafeMutableRawPointer(block).deallocate()
            }
        }

        private func make() -> BlockPointer {
            let raw = UnsafeMutableRawPointer.allocate(byteCount: BlockPool.headerSize + capacity, alignment: 16)
            return raw.initializeMemory(
                as: Block.self, to: Block(next: nil, start: 0, end: 0, capacity: Int32(capacity)))
        }
    }
}
