import Glibc

/// The fields of one header or trailer section, in order, pseudo-headers first.
///
/// Names and values live in the list's own arena. A list belongs to a pooled object and to one worker, and is emptied with `reset`
/// for the next use: in the steady state it allocates nothing. The value is a handle of one pointer: copies name the same list, which
/// its owner frees with `destroy`.
struct HeaderList: Equatable {
    /// What all values that are added to one list may take in bytes, so that a script cannot grow it for ever.
    static let arenaLimit = 1 << 20

    /// Lists that had to hold more give their memory back: others would keep what one client has made large.
    private static let keptFields = 64

    private struct Storage {
        /// Without an allocation until the first field comes.
        var fields = UnsafeMutablePointer<HeaderField>.allocate(capacity: 0)
        var capacity = 0
        var count = 0
        var arena = Arena()
        /// A bit for each id that was added since the last `reset`.
        var seen: UInt64 = 0
        var removesTwins = false
    }

    private let storage: UnsafeMutablePointer<Storage>

    init() {
        storage = .allocate(capacity: 1)
        storage.initialize(to: Storage())
    }

    /// Frees the list. No copy of the handle may be used afterwards.
    func destroy() {
        arena.free()
        fields.deallocate()
        storage.deallocate()
    }

    @inline(__always) private var fields: UnsafeMutablePointer<HeaderField> {
        get { storage.pointee.fields }
        nonmutating set { storage.pointee.fields = newValue }
    }
    @inline(__always) private var capacity: Int {
        get { storage.pointee.capacity }
        nonmutating set { storage.pointee.capacity = newValue }
    }
    @inline(__always) private(set) var count: Int {
        get { storage.pointee.count }
        nonmutating set { storage.pointee.count = newValue }
    }
    @inline(__always) private var arena: Arena {
        get { storage.pointee.arena }
        nonmutating _modify { yield &storage.pointee.arena }
    }
    @inline(__always) private var seen: UInt64 {
        get { storage.pointee.seen }
        nonmutating set { storage.pointee.seen = newValue }
    }
    /// Names that `set` and `remove` are asked for go in all spellings, see `removeTwins`. Until the next `reset`.
    @inline(__always) var removesTwins: Bool {
        get { storage.pointee.removesTwins }
        nonmutating set { storage.pointee.removesTwins = newValue }
    }

    func reset() {
        count = 0
        seen = 0
        removesTwins = false
        arena.reset()
        if capacity > HeaderList.keptFields { shrink() }
    }

    private func shrink() {
        fields.deallocate()
        fields = .allocate(capacity: 0)
        capacity = 0
    }

    @inline(__always) var isEmpty: Bool { count == 0 }

    /// `index` must be below `count`, which builds with assertions check.
    @inline(__always) subscript(index: Int) -> HeaderField {
        assert(index >= 0 && index < count, "field \(index) of \(count)")
        return fields[index]
    }

    // MARK: Looking up

    /// False: there is no field of this name. True: there is, or was one that has been removed.
    @inline(__always) func mayHold(_ id: FieldName) -> Bool { seen & (1 &<< UInt64(id.rawValue)) != 0 }

    /// The first field with an id that stands for one name.
    @inline(__always) func first(_ id: FieldName) -> HeaderField? {
        for index in 0..<count where fields[index].id == id { return fields[index] }
        return nil
    }

    @inline(__always) func value(_ id: FieldName) -> Bytes? { first(id)?.value }

    /// The position of the first field called `name` (lower case) at or behind `start`.
    func index(of name: Bytes, from start: Int = 0) -> Int? {
        index(of: name, FieldName.identify(name), from: start)
    }

    /// - Parameter id: stands for `name`.
    @inline(__always) func index(of name: Bytes, _ id: FieldName, from start: Int) -> Int? {
        var index = start
        while index < count {
            if isCalled(index, name, id) { return index }
            index += 1
        }
        return nil
    }

    /// Bytes are compared only where no interned name tells.
    @inline(__always) private func isCalled(_ index: Int, _ name: Bytes, _ id: FieldName) -> Bool {
        fields[index].id == id && (id.isOneName || fields[index].name.equals(name))
    }

    /// The size that RFC 9113 §6.5.2 counts: name + value + 32 per field.
    var encodedSize: Int {
        var size = 0
        for index in 0..<count { size += fields[index].name.count + fields[index].value.count + 32 }
        return size
    }

    /// Bytes of added and changed fields since the last reset.
    var arenaSize: Int { arena.total }

    /// About what the list, or a copy of it, takes of memory.
    var memorySize: Int {
        count == 0 ? 0 : max(1024, arena.total) + count * MemoryLayout<HeaderField>.stride
    }

    // MARK: Filling

    /// Appends a copy of a field that came off the wire; `name` is in lower case, and `id` stands for it.
    @inline(__always) func append(_ id: FieldName, _ name: Bytes, _ value: Bytes, neverIndexed: Bool) {
        let copy = arena.allocate(name.count + value.count)
        memcpy(copy, name.base, name.count)
        memcpy(copy + name.count, value.base, value.count)
        push(
            HeaderField(
                name: Bytes(copy, name.count), value: Bytes(copy + name.count, value.count), id: id,
                neverIndexed: neverIndexed))
    }

    /// Appends a copy of `name`, made lower case, and of `value`.
    func add(name: Bytes, value: Bytes, neverIndexed: Bool = false) {
        let stored = lowercasedCopy(name)
        push(
            HeaderField(
                name: stored, value: arena.copy(value),
                id: FieldName.identify(stored), neverIndexed: neverIndexed))
    }

    /// Appends literals, which are not copied.
    func add(_ name: StaticString, _ value: StaticString) {
        let name = Bytes(name)
        push(
            HeaderField(
                name: name, value: Bytes(value), id: FieldName.identify(name),
                neverIndexed: false))
    }

    /// Appends a literal name and a copy of `value`.
    func add(_ name: StaticString, _ value: Bytes) {
        let name = Bytes(name)
        push(
            HeaderField(
                name: name, value: arena.copy(value),
                id: FieldName.identify(name), neverIndexed: false))
    }

    /// Appends a literal name with a value that stays where it is, at least until `reset`.
    @inline(__always) func add(_ id: FieldName, _ name: StaticString, lasting value: Bytes) {
        push(HeaderField(name: Bytes(name), value: value, id: id, neverIndexed: false))
    }

    /// A copy that lasts until `reset`.
    func hold(_ bytes: Bytes) -> Bytes { arena.copy(bytes) }

    /// Marks every field called `name` (lower case) as one that no hop puts into a compression table.
    func neverIndex(_ name: Bytes) {
        var place = index(of: name)
        while let found = place {
            fields[found].neverIndexed = true
            place = index(of: name, from: found + 1)
        }
    }

    /// Appends a copy of everything `other` holds.
    func append(contentsOf other: HeaderList) {
        for index in 0..<other.count {
            let field = other.fields[index]
            append(field.id, field.name, field.value, neverIndexed: field.neverIndexed)
        }
    }

    // MARK: Changing

    /// Removes every field called `name`, then adds one: at the place of the first that went, so that
    /// pseudo-headers stay in front, else (for a pseudo-header) at the front, else at the end. `name` is lower
    /// case and must not point into this list; `value` may.
    func set(name: Bytes, value: Bytes) {
        if removesTwins { removeTwins(of: name) }
        guard let place = index(of: name) else {
            add(name: name, value: value)
            if name.count > 0 && name[0] == UInt8(ascii: ":") { moveLastToFront() }
            return
        }
        overwrite(place, value)
        removeAll(named: name, from: place + 1)
    }

    /// A value that is written again and again takes no more memory than the largest of them, twice that at most. Only what
    /// was written here before is overwritten in place, and no pseudo-header: others may point to the rest.
    private func overwrite(_ place: Int, _ value: Bytes) {
        if value.count <= Int(fields[place].room) {
            let slot = UnsafeMutablePointer(mutating: fields[place].value.base)
            // The value may be a part of the old one.
            memmove(slot, value.base, value.count)
            fields[place].value = Bytes(UnsafePointer(slot), value.count)
            return
        }
        let isPseudo = fields[place].name.count > 0 && fields[place].name[0] == UInt8(ascii: ":")
        let room = isPseudo ? 0 : max(16, value.count, min(2 * Int(fields[place].room), HeaderList.arenaLimit))
        let slot = arena.allocate(max(room, value.count))
        memcpy(slot, value.base, value.count)
        fields[place].value = Bytes(slot, value.count)
        fields[place].room = UInt32(room)
    }

    /// Puts a copy of `value` in the place of a field's value. `index` must be below `count`, which builds with assertions check.
    func replaceValue(at index: Int, by value: Bytes) {
        assert(index >= 0 && index < count, "field \(index) of \(count)")
        let copy = arena.copy(value)
        fields[index].value = copy
        fields[index].room = 0
    }

    /// Makes one field of all cookies, as there would be if the client had not split them (RFC 9113 §8.2.3): servers, scripts and
    /// routes read the first, or join them with commas.
    func joinCookies() {
        guard mayHold(.cookie), let first = index(of: Bytes("cookie")) else { return }
        var last = first
        var size = 0
        for index in first..<count where fields[index].id == .cookie {
            size += fields[index].value.count + 2
            last = index
        }
        guard last > first else { return }
        var writer = TextWriter(UnsafeMutableBufferPointer(start: arena.allocate(size), count: size))
        for index in first...last where fields[index].id == .cookie {
            if fields[index].neverIndexed { fields[first].neverIndexed = true }
            guard fields[index].value.count > 0 else { continue }
            if writer.count > 0 { writer.append(Bytes("; ")) }
            writer.append(fields[index].value)
        }
        fields[first].value = writer.bytes
        fields[first].room = 0
        removeAll(named: Bytes("cookie"), from: first + 1)
    }

    /// Removes every field called `name` (lower case), which must not point into this list.
    func remove(name: Bytes) {
        if removesTwins { removeTwins(of: name) }
        removeAll(named: name, from: 0)
    }

    /// Removes the fields whose names are other spellings of `name` with underscores, where the list `removesTwins`: to many
    /// servers they are the same field.
    func removeTwins(of name: Bytes) {
        guard removesTwins, mayHold(.underscored) else { return }
        keep { $0.id != .underscored || !FieldName.areTwins($0.name, name) }
    }

    /// `index` must be below `count`, which builds with assertions check.
    func remove(at index: Int) {
        assert(index >= 0 && index < count, "field \(index) of \(count)")
        let behind = count - index - 1
        if behind > 0 { memmove(fields + index, fields + index + 1, behind * MemoryLayout<HeaderField>.stride) }
        count -= 1
    }

    /// Removes every field of which `isKept` says no.
    func keep(_ isKept: (HeaderField) -> Bool) {
        var kept = 0
        for index in 0..<count where isKept(fields[index]) {
            fields[kept] = fields[index]
            kept += 1
        }
        count = kept
    }

    private func removeAll(named name: Bytes, from start: Int) {
        let id = FieldName.identify(name)
        var kept = start
        for index in start..<max(start, count) {
            if !isCalled(index, name, id) {
                fields[kept] = fields[index]
                kept += 1
            }
        }
        count = min(count, kept)
    }

    private func moveLastToFront() {
        let last = fields[count - 1]
        memmove(fields + 1, fields, (count - 1) * MemoryLayout<HeaderField>.stride)
        fields[0] = last
    }

    @inline(__always) private func push(_ field: HeaderField) {
        if count == capacity { grow() }
        (fields + count).initialize(to: field)
        seen |= 1 &<< UInt64(field.id.rawValue)
        count += 1
    }

    private func grow() {
        let wanted = max(16, capacity * 2)
        let larger = UnsafeMutablePointer<HeaderField>.allocate(capacity: wanted)
        memcpy(larger, fields, count * MemoryLayout<HeaderField>.stride)
        fields.deallocate()
        fields = larger
        capacity = wanted
    }

    private func lowercasedCopy(_ name: Bytes) -> Bytes {
        let target = arena.allocate(name.count)
        for index in 0..<name.count { target[index] = name[index].asciiLowercased }
        return Bytes(target, name.count)
    }
}
