import Glibc

/// One stretch of bytes that waits to be written: appended at the end, dropped from the front.
///
/// Holds memory only while there are bytes. `clear` before the owner ends.
struct PendingBytes {
    private var base: UnsafeMutablePointer<UInt8>?
    private var start = 0
    private var end = 0
    private var capacity = 0

    @inline(__always) var isEmpty: Bool { start == end }

    /// What waits, valid until the next change.
    var bytes: Bytes {
        guard let base else { return .empty }
        return Bytes(base + start, end - start)
    }

    mutating func append(_ bytes: Bytes) {
        guard bytes.count > 0 else { return }
        if end + bytes.count > capacity { grow(by: bytes.count) }
        guard let base else { return }
        memcpy(base + end, bytes.base, bytes.count)
        end += bytes.count
    }

    mutating func dropFirst(_ count: Int) {
        start += count
        if start == end { clear() }
    }

    mutating func clear() {
        base?.deallocate()
        self = PendingBytes()
    }

    private mutating func grow(by count: Int) {
        let waiting = end - start
        let wanted = max(16 * 1024, (waiting + count) * 2)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
        if let base { memcpy(larger, base + start, waiting) }
        base?.deallocate()
        base = larger
        start = 0
        end = waiting
        capacity = wanted
    }
}
