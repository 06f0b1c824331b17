import Glibc

/// Fields that one direction of a connection has named before, newest first (RFC 7541 §2.3.2).
///
/// Holds no memory until the first field comes. Entries are numbered as they come, from 0; a number never stands for
/// another entry.
struct DynamicTable {
    struct Entry {
        fileprivate(set) var base: UnsafeMutablePointer<UInt8>
        fileprivate(set) var nameCount: Int32
        fileprivate(set) var valueCount: Int32
        /// Of name and value, for whoever looks for them.
        var hash: UInt32
        var id: FieldName
        /// Name and value are such as a message may have.
        var isSound: Bool

        @inline(__always) var name: Bytes { Bytes(base, Int(nameCount)) }
        @inline(__always) var value: Bytes { Bytes(base + Int(nameCount), Int(valueCount)) }
        /// RFC 7541 §4.1
        @inline(__always) fileprivate var size: Int { Int(nameCount) + Int(valueCount) + 32 }
    }

    /// What is announced by saying nothing (RFC 9113 §6.5.2).
    static let defaultLimit = 4096

    private var entries: UnsafeMutablePointer<Entry>?
    /// One less than the room for entries, a power of two.
    private var mask = -1
    /// The number that the next entry gets.
    private(set) var next = 0
    private(set) var count = 0
    private var size = 0
    private(set) var limit = defaultLimit

    /// - Parameter next: the number of the first entry.
    init(next: Int = 0) { self.next = next }

    mutating func free() {
        evict(to: 0)
        entries?.deallocate()
        entries = nil
    }

    /// `number` is that of an entry that `holds`.
    @inline(__always) subscript(number: Int) -> UnsafeMutablePointer<Entry>? {
        entries.map { $0 + (number & mask) }
    }

    @inline(__always) func holds(_ number: Int) -> Bool { number < next && number >= next - count }

    /// RFC 7541 §4.3
    mutating func resize(to limit: Int) {
        self.limit = limit
        evict(to: limit)
    }

    /// Copies a field into the table; older ones make room for it. One that is larger than the table empties it
    /// (RFC 7541 §4.4).
    mutating func insert(_ id: FieldName, _ name: Bytes, _ value: Bytes, hash: UInt32 = 0, isSound: Bool = true) {
        let needed = name.count + value.count + 32
        guard needed <= limit else { return evict(to: 0) }
        // Before others go: the name may be one of theirs.
        let base = UnsafeMutablePointer<UInt8>.allocate(capacity: name.count + value.count)
        memcpy(base, name.base, name.count)
        memcpy(base + name.count, value.base, value.count)
        evict(to: limit - needed)
        if count > mask { grow() }
        guard let entries else { return base.deallocate() }
        (entries + (next & mask)).initialize(
            to: Entry(
                base: base, nameCount: Int32(name.count), valueCount: Int32(value.count), hash: hash, id: id,
                isSound: isSound))
        next += 1
        count += 1
        size += needed
    }

    private mutating func evict(to wanted: Int) {
        guard let entries else { return }
        while size > wanted, count > 0 {
            let oldest = entries + ((next - count) & mask)
            size -= oldest.pointee.size
            oldest.pointee.base.deallocate()
            count -= 1
        }
    }

    private mutating func grow() {
        let capacity = max(8, (mask + 1) * 2)
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
        if let entries {
            for number in (next - count)..<next { larger[number & (capacity - 1)] = entries[number & mask] }
            entries.deallocate()
        }
        entries = larger
        mask = capacity - 1
    }
}
