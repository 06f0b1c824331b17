import Glibc

/// A hash table of fixed size whose entries are also in the order of their last use.
///
/// All its memory but keys and values is asked for when it is made, and the system gives it page by page when it is
/// first touched: nothing ever grows while somebody waits. Knows neither time nor locks.
struct DictTable {
    struct Entry {
        var hash: UInt64
        /// On the state's clock; 0: never.
        var expires: Instant
        /// The key, the value's bytes behind it.
        var block: UnsafeMutablePointer<UInt8>
        var bits: UInt64
        var keyCount: UInt32
        var valueCount: UInt32
        var kind: DictValue.Kind
        /// The next with the same bucket, or the next that is free.
        var next: Int32
        var newer: Int32
        var older: Int32

        var key: Bytes { Bytes(block, Int(keyCount)) }
        var value: DictValue {
            DictValue(kind: kind, bits: bits, bytes: Bytes(block + Int(keyCount), Int(valueCount)))
        }
        var weight: Int { DictTable.weight(key: Int(keyCount), value: Int(valueCount)) }
    }

    /// What an entry weighs in bytes: its texts and what is kept beside them.
    static func weight(key: Int, value: Int) -> Int { key + value + 96 }

    static let none: Int32 = -1

    /// Most entries.
    private(set) var capacity: Int
    private(set) var count = 0
    /// The weight of all entries.
    private(set) var weight = 0
    /// Places that have ever been used lie below.
    private(set) var used = 0
    private(set) var oldest = DictTable.none
    private var newest = DictTable.none
    private var firstFree = DictTable.none
    /// Place of the first entry and 1; 0: none.
    private let buckets: UnsafeMutablePointer<Int32>
    private let mask: UInt64
    let entries: UnsafeMutablePointer<Entry>

    /// `nil`: the system has no memory.
    init?(capacity: Int) {
        var size = 8
        while size < capacity { size *= 2 }
        guard let buckets = calloc(size, MemoryLayout<Int32>.stride) else { return nil }
        guard let entries = calloc(max(1, capacity), MemoryLayout<Entry>.stride) else {
            Glibc.free(buckets)
            return nil
        }
        self.capacity = capacity
        self.buckets = buckets.bindMemory(to: Int32.self, capacity: size)
        self.entries = entries.bindMemory(to: Entry.self, capacity: max(1, capacity))
        mask = UInt64(size - 1)
    }

    /// Gives everything back. The table is not used afterwards.
    func free() {
        var place = oldest
        while place != DictTable.none {
            Glibc.free(entries[Int(place)].block)
            place = entries[Int(place)].newer
        }
        Glibc.free(buckets)
        Glibc.free(entries)
    }

    @inline(__always) subscript(place: Int32) -> UnsafeMutablePointer<Entry> { entries + Int(place) }

    func find(_ key: Bytes, _ hash: UInt64) -> Int32 {
        var place = buckets[Int(hash & mask)] - 1
        while place != DictTable.none {
            let entry = self[place]
            if entry.pointee.hash == hash && entry.pointee.key.equals(key) { return place }
            place = entry.pointee.next
        }
        return DictTable.none
    }

    /// Whether an entry lies at this place.
    func isUsed(_ place: Int32) -> Bool { self[place].pointee.keyCount != UInt32.max }

    /// Adds an entry as the newest; the key must be new, and there must be fewer than `capacity`. False: no memory.
    mutating func insert(_ key: Bytes, _ hash: UInt64, _ value: DictValue, expires: Instant) -> Bool {
        guard let block = malloc(max(1, key.count + value.bytes.count))?.assumingMemoryBound(to: UInt8.self) else {
            return false
        }
        block.update(from: key.base, count: key.count)
        (block + key.count).update(from: value.bytes.base, count: value.bytes.count)
        let place = takePlace()
        let bucket = Int(hash & mask)
        self[place].initialize(
            to: Entry(
                hash: hash, expires: expires, block: block, bits: value.bits, keyCount: UInt32(key.count),
                valueCount: UInt32(value.bytes.count), kind: value.kind, next: buckets[bucket] - 1,
                newer: DictTable.none, older: DictTable.none))
        buckets[bucket] = place + 1
        link(place)
        count += 1
        weight += self[place].pointee.weight
        return true
    }

    private mutating func takePlace() -> Int32 {
        let place = firstFree
        if place == DictTable.none {
            used += 1
            return Int32(used - 1)
        }
        firstFree = self[place].pointee.next
        return place
    }

    /// Gives an entry another value. False: no memory, and nothing has changed.
    mutating func replace(_ place: Int32, _ value: DictValue) -> Bool {
        let entry = self[place]
        let keyCount = Int(entry.pointee.keyCount)
        if value.bytes.count != Int(entry.pointee.valueCount) {
            guard let moved = realloc(entry.pointee.block, max(1, keyCount + value.bytes.count)) else { return false }
            entry.pointee.block = moved.assumingMemoryBound(to: UInt8.self)
        }
        (entry.pointee.block + keyCount).update(from: value.bytes.base, count: value.bytes.count)
        weight += value.bytes.count - Int(entry.pointee.valueCount)
        entry.pointee.valueCount = UInt32(value.bytes.count)
        entry.pointee.kind = value.kind
        entry.pointee.bits = value.bits
        return true
    }

    mutating func remove(_ place: Int32) {
        let entry = self[place]
        unlink(place)
        let bucket = Int(entry.pointee.hash & mask)
        if buckets[bucket] - 1 == place {
            buckets[bucket] = entry.pointee.next + 1
        } else {
            var before = buckets[bucket] - 1
            while self[before].pointee.next != place { before = self[before].pointee.next }
            self[before].pointee.next = entry.pointee.next
        }
        weight -= entry.pointee.weight
        count -= 1
        Glibc.free(entry.pointee.block)
        entry.pointee.keyCount = UInt32.max
        entry.pointee.next = firstFree
        firstFree = place
    }

    // MARK: The order of use

    /// The entry was used just now.
    @inline(__always) mutating func touch(_ place: Int32) {
        guard newest != place else { return }
        unlink(place)
        link(place)
    }

    private mutating func link(_ place: Int32) {
        self[place].pointee.older = newest
        self[place].pointee.newer = DictTable.none
        if newest == DictTable.none { oldest = place } else { self[newest].pointee.newer = place }
        newest = place
    }

    private mutating func unlink(_ place: Int32) {
        let (newer, older) = (self[place].pointee.newer, self[place].pointee.older)
        if newer == DictTable.none { newest = older } else { self[newer].pointee.older = older }
        if older == DictTable.none { oldest = newer } else { self[older].pointee.newer = newer }
    }
}
