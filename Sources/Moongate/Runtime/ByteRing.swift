import Glibc
import Synchronization

/// A bounded queue of bytes between one writing and one reading thread, without locks.
///
/// The writer puts whole messages in or, if there is no room, nothing at all. It never waits.
final class ByteRing: @unchecked Sendable {  // `head` and `tail` hand each byte from the one thread to the other
    let capacity: Int
    private let memory: UnsafeMutablePointer<UInt8>
    /// Bytes ever read; written by the reader only.
    private let head = Atomic<Int>(0)
    /// Bytes ever written; written by the writer only.
    private let tail = Atomic<Int>(0)

    /// - Parameter capacity: in bytes; rounded up to a power of two.
    init(capacity: Int) {
        var size = 64
        while size < capacity { size *= 2 }
        self.capacity = size
        memory = .allocate(capacity: size)
    }

    deinit { memory.deallocate() }

    /// Appends the whole message, or returns `false` and appends nothing. Only on the writing thread.
    func write(_ message: Bytes) -> Bool {
        let tail = self.tail.load(ordering: .relaxed)
        guard message.count <= capacity - (tail - head.load(ordering: .acquiring)) else { return false }
        let offset = tail & (capacity - 1)
        let first = min(message.count, capacity - offset)
        memcpy(memory + offset, message.base, first)
        memcpy(memory, message.base + first, message.count - first)
        self.tail.store(tail + message.count, ordering: .releasing)
        return true
    }

    /// Bytes not yet read: whole messages, unless `consume` took a part of one. Only on the reading thread.
    var unread: Int { tail.load(ordering: .acquiring) - head.load(ordering: .relaxed) }

    /// The longest run of unread bytes that lies in one piece; empty when all is read. Valid until `consume`.
    /// Only on the reading thread.
    func readable() -> Bytes {
        let head = self.head.load(ordering: .relaxed)
        let offset = head & (capacity - 1)
        return Bytes(memory + offset, min(tail.load(ordering: .acquiring) - head, capacity - offset))
    }

    /// Gives the first `count` bytes of `readable()` back to the writer. Only on the reading thread.
    func consume(_ count: Int) {
        head.store(head.load(ordering: .relaxed) + count, ordering: .releasing)
    }
}
