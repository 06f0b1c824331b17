/// The one hash table behind every look-up of a route: (scope, text) → number.
///
/// Open addressing, at most a third full, so that a look-up takes one or two probes however many routes there are.
/// A scope says what the text is and within what: the host names of a listener, the children of a path node.
struct RouteIndex {
    /// What a text is. Values fit the three bits below the owner's number.
    enum Kind: UInt32 {
        /// A whole host name; owner: the realm.
        case host = 0
        /// What stands behind `*.`; owner: the realm.
        case hostSuffix = 1
        /// A path element; owner: the node above.
        case element = 2
        /// The method of any service; owner: the host group.
        case method = 3
        /// A header name; owner: the candidates that it tells apart.
        case headerName = 4
        /// A header value; owner: the header name.
        case headerValue = 5
    }

    struct Scope: Hashable, BitwiseCopyable {
        let code: UInt32
        @inline(__always) init(_ kind: Kind, of owner: Int32) {
            code = UInt32(bitPattern: owner) << 3 | kind.rawValue
        }
        /// Host names compare without case.
        @inline(__always) var foldsCase: Bool { code & 7 <= Kind.hostSuffix.rawValue }
    }

    struct Key: Hashable {
        var scope: Scope
        var text: String
    }

    private struct Slot: BitwiseCopyable {
        var hash: UInt64 = 0
        var scope: UInt32 = 0
        var text = TextRange(start: 0, count: 0)
        /// Negative: the slot is free.
        var value: Int32 = -1
    }

    private let slots: FlatArray<Slot>
    private let mask: Int

    init(_ entries: [Key: Int32], text: inout RouteText) {
        var capacity = 16
        while capacity < entries.count * 3 { capacity *= 2 }
        mask = capacity - 1
        var slots = [Slot](repeating: Slot(), count: capacity)
        for (key, value) in entries {
            let hash = key.text.withBytes { RouteIndex.hash($0, key.scope) }
            var index = Int(truncatingIfNeeded: hash) & mask
            while slots[index].value >= 0 { index = (index + 1) & mask }
            slots[index] = Slot(hash: hash, scope: key.scope.code, text: text.add(key.text), value: value)
        }
        self.slots = FlatArray(copying: slots)
    }

    func free() { slots.free() }

    /// The number kept for `key`, or -1.
    @inline(__always)
    func find(_ key: Bytes, _ scope: Scope, in text: FlatArray<UInt8>) -> Int32 {
        let hash = RouteIndex.hash(key, scope)
        var index = Int(truncatingIfNeeded: hash) & mask
        while true {
            let slot = slots[index]
            if slot.value < 0 { return -1 }
            if slot.hash == hash && slot.scope == scope.code {
                let stored = text.bytes(slot.text)
                if scope.foldsCase ? stored.equalsIgnoringCase(key) : stored.equals(key) { return slot.value }
            }
            index = (index + 1) & mask
        }
    }

    /// Eight bytes at a time through a multiplication. Setting 0x20 everywhere makes the letters of host names
    /// caseless; the few other bytes that it confuses only cost a comparison.
    @inline(__always)
    private static func hash(_ key: Bytes, _ scope: Scope) -> UInt64 {
        let fold: UInt64 = scope.foldsCase ? 0x2020_2020_2020_2020 : 0
        let raw = UnsafeRawPointer(key.base)
        let count = key.count
        var hash = mix(UInt64(scope.code) ^ 0x9E37_79B9_7F4A_7C15, UInt64(truncatingIfNeeded: count) | 1 << 40)
        var offset = 0
        while offset + 8 < count {
            hash = mix(hash ^ (raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self) | fold), multiplier)
            offset += 8
        }
        return mix(hash ^ (lastWord(raw, count) | fold), multiplier)
    }

    private static let multiplier: UInt64 = 0xD6E8_FEB8_6659_FD93

    /// The last eight bytes, or all there are.
    @inline(__always)
    private static func lastWord(_ raw: UnsafeRawPointer, _ count: Int) -> UInt64 {
        if count >= 8 { return raw.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self) }
        if count >= 4 {
            let low = raw.loadUnaligned(as: UInt32.self)
            let high = raw.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)
            return UInt64(low) | UInt64(high) << 32
        }
        if count == 0 { return 0 }
        let bytes = raw.assumingMemoryBound(to: UInt8.self)
        return UInt64(bytes[0]) | UInt64(bytes[count / 2]) << 8 | UInt64(bytes[count - 1]) << 16
    }

    @inline(__always)
    private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }
}

/// The texts of a route table while it is built; each text is kept once.
struct RouteText {
    private(set) var bytes: [UInt8] = []
    private var known: [String: TextRange] = [:]

    mutating func add(_ text: String) -> TextRange {
        if let range = known[text] { return range }
        let range = TextRange(start: UInt32(bytes.count), count: UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
        known[text] = range
        return range
    }
}
