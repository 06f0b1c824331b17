import Glibc

/// Bytes in a row that scripts read and replace: a whole body, or a piece of one.
final class PolicyBuffer {
    private var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    private(set) var count = 0
    /// The stage that lends it to a script as the whole body; `nil` for pieces.
    weak var stage: BodyStage?

    init() {
        base = .allocate(capacity: 0)
        capacity = 0
    }

    convenience init(_ bytes: Bytes) {
        self.init()
        append(bytes)
    }

    deinit { base.deallocate() }

    /// Until the buffer changes.
    var bytes: Bytes { Bytes(UnsafePointer(base), count) }

    func append(_ bytes: Bytes) {
        if count + bytes.count > capacity { grow(to: count + bytes.count) }
        memcpy(base + count, bytes.base, bytes.count)
        count += bytes.count
    }

    func removeAll() { count = 0 }

    /// `bytes` in the place of everything.
    func replace(by bytes: Bytes) {
        count = 0
        append(bytes)
    }

    /// Appends what lies in `queue` and empties it.
    func take(_ queue: UnsafeMutablePointer<ByteQueue>, _ blocks: BlockPool) {
        let size = queue.pointee.count
        if count + size > capacity { grow(to: count + size) }
        count += queue.pointee.read(into: base + count, limit: size, blocks)
    }

    func removeFirst(_ size: Int) {
        memmove(base, base + size, count - size)
        count -= size
    }

    private func grow(to wanted: Int) {
        let larger = max(wanted, min(capacity * 2, capacity + (1 << 20)), 256)
        let new = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
        new.update(from: base, count: count)
        base.deallocate()
        base = new
        capacity = larger
    }
}

/// Pieces of a body in the order they came, as the peer cut them.
struct PolicyChunks {
    /// Under back-pressure pieces are joined: many small frames must not cost more than their bytes.
    private static let limit = 64

    private var list: [PolicyBuffer] = []
    private var first = 0
    /// Bytes in all of them.
    private(set) var size = 0

    var count: Int { list.count - first }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ bytes: Bytes) {
        size += bytes.count
        if count >= PolicyChunks.limit, let last = list.last { return last.append(bytes) }
        list.append(PolicyBuffer(bytes))
    }

    mutating func append(_ buffer: PolicyBuffer) {
        size += buffer.count
        list.append(buffer)
    }

    mutating func removeFirst() -> PolicyBuffer? {
        guard first < list.count else { return nil }
        let chunk = list[first]
        first += 1
        size -= chunk.count
        if first == list.count {
            list.removeAll(keepingCapacity: true)
            first = 0
        } else if first == PolicyChunks.limit {
            list.removeFirst(first)
            first = 0
        }
        return chunk
    }

    mutating func removeAll() {
        list = []
        first = 0
        size = 0
    }
}
