/// Blocks of two sizes for bodies on their way: small ones for unary messages, large ones for a full DATA frame.
/// Thread-confined.
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
    static let largeCapacity = 16 * 1024
    /// How many idle blocks of each size are kept; more go back to the system.
    private static let kept = 256

    private var small: BlockPointer?
    private var large: BlockPointer?
    private var smallCount = 0
    private var largeCount = 0

    deinit {
        for list in [small, large] {
            var next = list
            while let block = next {
                next = block.pointee.next
                UnsafeMutableRawPointer(block).deallocate()
            }
        }
    }

    /// An empty block with room for `wanted` bytes or for as many as the largest size holds.
    func take(for wanted: Int) -> BlockPointer {
        if wanted <= BlockPool.smallCapacity {
            guard let block = small else { return BlockPool.make(BlockPool.smallCapacity) }
            small = block.pointee.next
            smallCount -= 1
            return BlockPool.cleared(block)
        }
        guard let block = large else { return BlockPool.make(BlockPool.largeCapacity) }
        large = block.pointee.next
        largeCount -= 1
        return BlockPool.cleared(block)
    }

    func give(back block: BlockPointer) {
        if Int(block.pointee.capacity) == BlockPool.smallCapacity {
            guard smallCount < BlockPool.kept else { return UnsafeMutableRawPointer(block).deallocate() }
            block.pointee.next = small
            small = block
            smallCount += 1
        } else {
            guard largeCount < BlockPool.kept else { return UnsafeMutableRawPointer(block).deallocate() }
            block.pointee.next = large
            large = block
            largeCount += 1
        }
    }

    /// Where a block's bytes begin.
    @inline(__always) static func bytes(_ block: BlockPointer) -> UnsafeMutablePointer<UInt8> {
        (UnsafeMutableRawPointer(block) + headerSize).assumingMemoryBound(to: UInt8.self)
    }

    private static func cleared(_ block: BlockPointer) -> BlockPointer {
        block.pointee.next = nil
        block.pointee.start = 0
        block.pointee.end = 0
        return block
    }

    private static func make(_ capacity: Int) -> BlockPointer {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: headerSize + capacity, alignment: 16)
        return raw.initializeMemory(
            as: Block.self, to: Block(next: nil, start: 0, end: 0, capacity: Int32(capacity)))
    }
}
