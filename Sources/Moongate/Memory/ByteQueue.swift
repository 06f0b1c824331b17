import Glibc

/// Bytes on their way from one side to the other: written at the end, read at the front.
///
/// Blocks come from a `BlockPool`, which every call that may take or free one is given. While `retains` is set,
/// bytes that were read are kept so that `rewind` can offer them again (a request that may be sent once more).
/// Part of a pooled record; `clear` before the record goes back.
struct ByteQueue {
    private var head: BlockPool.BlockPointer?
    private var tail: BlockPool.BlockPointer?
    /// The block that is read next; the same as `head` unless bytes are retained.
    private var cursor: BlockPool.BlockPointer?
    private var cursorOffset: Int32 = 0

    /// Bytes that can be read.
    private(set) var count = 0
    /// Bytes that were read and are still held.
    private(set) var retained = 0
    private(set) var retains = false
    /// Bytes in front that were read before `rewind`.
    private(set) var reread = 0

    /// Bytes that are held, read or not.
    @inline(__always) var total: Int { count + retained }

    @inline(__always) var isEmpty: Bool { count == 0 }

    /// Appends a copy of `bytes`.
    mutating func append(_ bytes: Bytes, _ pool: BlockPool) {
        var rest = bytes
        count += bytes.count
        while rest.count > 0 {
            let block = tailWithRoom(for: rest.count, pool)
            let room = Int(block.pointee.capacity - block.pointee.end)
            let length = min(room, rest.count)
            memcpy(BlockPool.bytes(block) + Int(block.pointee.end), rest.base, length)
            block.pointee.end += Int32(length)
            rest = rest[length..<rest.count]
        }
    }

    /// Moves up to `limit` bytes to `target`; returns how many.
    mutating func read(into target: UnsafeMutablePointer<UInt8>, limit: Int, _ pool: BlockPool) -> Int {
        var done = 0
        while done < limit, count > 0, let block = cursor {
            let available = Int(block.pointee.end - cursorOffset)
            if available == 0 {
                advance(past: block, pool)
                continue
            }
            let length = min(available, limit - done)
            memcpy(target + done, BlockPool.bytes(block) + Int(cursorOffset), length)
            cursorOffset += Int32(length)
            done += length
            count -= length
        }
        reread -= min(reread, done)
        if retains { retained += done } else if count == 0 { clear(pool) }
        return done
    }

    /// Keeps what is read from now on. Only while nothing was read yet.
    mutating func retain() { retains = true }

    /// Frees what was read; it cannot be offered again.
    mutating func commit(_ pool: BlockPool) {
        guard retains else { return }
        retains = false
        retained = 0
        if count == 0 { return clear(pool) }
        while let block = head, block != cursor {
            head = block.pointee.next
            pool.give(back: block)
        }
    }

    /// Offers everything that is retained once more; what was read before without is gone.
    mutating func rewind() {
        guard retains else { return }
        cursor = head
        cursorOffset = head.map { $0.pointee.start } ?? 0
        count += retained
        reread += retained
        retained = 0
    }

    /// Appends a copy of everything that is held, read or not, to `other`.
    func copyAll(to other: inout ByteQueue, _ pool: BlockPool) {
        var next = head
        while let block = next {
            let length = Int(block.pointee.end - block.pointee.start)
            other.append(Bytes(BlockPool.bytes(block) + Int(block.pointee.start), length), pool)
            next = block.pointee.next
        }
    }

    /// Drops everything.
    mutating func clear(_ pool: BlockPool) {
        while let block = head {
            head = block.pointee.next
            pool.give(back: block)
        }
        tail = nil
        cursor = nil
        cursorOffset = 0
        count = 0
        retained = 0
        reread = 0
        retains = false
    }

    private mutating func advance(past block: BlockPool.BlockPointer, _ pool: BlockPool) {
        cursor = block.pointee.next
        cursorOffset = 0
        if !retains {
            head = block.pointee.next
            pool.give(back: block)
        }
    }

    private mutating func tailWithRoom(for wanted: Int, _ pool: BlockPool) -> BlockPool.BlockPointer {
        if let tail, tail.pointee.end < tail.pointee.capacity { return tail }
        let block = pool.take(for: wanted)
        if let tail { tail.pointee.next = block } else { head = block }
        if cursor == nil {
            cursor = block
            cursorOffset = 0
        }
        tail = block
        return block
    }
}
