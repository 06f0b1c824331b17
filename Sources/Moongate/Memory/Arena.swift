import CMoongate
import Glibc

/// Memory that is handed out piece by piece and given back all at once.
///
/// Owned by one pooled object, used on its thread. The first block is kept across `reset`, so an object that
/// needs little allocates once in its life. AddressSanitizer sees what was not handed out, or was given back, as freed memory in builds
/// with checks.
struct Arena {
    private struct Block {
        var next: UnsafeMutableRawPointer?
        var capacity: Int
    }
    private static let headerSize = MemoryLayout<Block>.stride
    private static let smallest = 1024 - headerSize

    /// The newest block; older, full ones hang behind it.
    private var head: UnsafeMutableRawPointer?
    private var used = 0
    /// Bytes handed out since the last reset.
    private(set) var total = 0

    /// At least `count` bytes that stay where they are until `reset`.
    mutating func allocate(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        if let head, head.assumingMemoryBound(to: Block.self).pointee.capacity - used >= count {
            return take(count, from: head)
        }
        let capacity = max(count, Arena.smallest)
        let block = UnsafeMutableRawPointer.allocate(byteCount: Arena.headerSize + capacity, alignment: 16)
        block.initializeMemory(as: Block.self, to: Block(next: head, capacity: capacity))
        head = block
        used = 0
        hide(block)
        return take(count, from: block)
    }

    mutating func copy(_ bytes: Bytes) -> Bytes {
        let target = allocate(bytes.count)
        memcpy(target, bytes.base, bytes.count)
        return Bytes(target, bytes.count)
    }

    /// Everything handed out is void afterwards.
    mutating func reset() {
        total = 0
        used = 0
        guard let head else { return }
        let block = head.assumingMemoryBound(to: Block.self)
        if block.pointee.next == nil && block.pointee.capacity == Arena.smallest { return hide(head) }
        free()
    }

    /// Nothing of the block is handed out.
    @inline(__always) private func hide(_ block: UnsafeMutableRawPointer) {
        #if CHECKED
            mg_poison(block + Arena.headerSize, block.assumingMemoryBound(to: Block.self).pointee.capacity)
        #endif
    }

    @inline(__always) private func show(_ start: UnsafeMutablePointer<UInt8>, _ count: Int) {
        #if CHECKED
            mg_unpoison(start, count)
        #endif
    }

    /// Gives all memory back to the system; the arena can be used again.
    mutating func free() {
        while let block = head {
            head = block.assumingMemoryBound(to: Block.self).pointee.next
            block.deallocate()
        }
        used = 0
        total = 0
    }

    private mutating func take(_ count: Int, from block: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt8> {
        let start = (block + Arena.headerSize + used).assumingMemoryBound(to: UInt8.self)
        used += count
        total += count
        show(start, count)
        return start
    }
}
