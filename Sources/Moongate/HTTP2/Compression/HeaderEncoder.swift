/// One direction's header compression state, for what goes (RFC 7541).
///
/// Texts are sent as they are: Huffman coding would save some octets of the few fields that the table does not know, and
/// cost both sides more time than those take. A field enters the table when it comes for the second time, so that values
/// that are new with every request do not wear it out.
struct HeaderEncoder {
    /// Sets of two places each.
    private static let sets = 128
    private static let seenBefore = 256

    private var table: DynamicTable
    /// Where the entries are, by their hashes; `nil` until the first one comes. A place keeps its number until another
    /// entry gets the place.
    private var places: UnsafeMutablePointer<Int32>?
    /// Hashes of fields that were sent as literals, by their last bits.
    private var seen: UnsafeMutablePointer<UInt16>?
    /// The smallest and the last limit that the peer has announced since the last block; -1: none (§4.2).
    private var smallestLimit = -1
    private var lastLimit = -1
    private let tools: CompressionTools

    /// - Parameters:
    ///   - tools: the worker's.
    ///   - first: the number of the table's first entry.
    init(_ tools: CompressionTools, first: Int = 0) {
        self.tools = tools
        table = DynamicTable(next: first)
    }

    /// The encoder must not be used afterwards.
    mutating func free() {
        table.free()
        places?.deallocate()
        seen?.deallocate()
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE: takes effect with the next block.
    mutating func limitTable(to size: UInt32) {
        let limit = min(Int(size), DynamicTable.defaultLimit)
        smallestLimit = smallestLimit < 0 ? limit : min(smallestLimit, limit)
        lastLimit = limit
    }

    /// The most octets that a block of these fields can take.
    /// - Parameter fieldSize: their `encodedSize`.
    @inline(__always) static func bound(fieldSize: Int) -> Int {
        // Two lengths and a number of up to five octets each, and two changes of the limit.
        fieldSize + 16
    }

    /// Writes the block of all fields, in their order.
    ///
    /// - Parameter target: has room for `bound`.
    /// - Returns: octets written.
    mutating func encode(_ headers: HeaderList, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var output = BlockWriter(target)
        if lastLimit >= 0 { writeLimits(&output) }
        for index in 0..<headers.count { write(headers[index], &output) }
        return output.count(from: target)
    }

    private mutating func writeLimits(_ output: inout BlockWriter) {
        for limit in smallestLimit == lastLimit ? [lastLimit] : [smallestLimit, lastLimit] {
            table.resize(to: limit)
            output.integer(limit, bits: 5, first: 0x20)
        }
        smallestLimit = -1
        lastLimit = -1
    }

    @inline(__always) private mutating func write(_ field: HeaderField, _ output: inout BlockWriter) {
        // §6.2.3: pseudo-header fields and those of the static table, too, leave as they came.
        if field.neverIndexed { return literal(field, bits: 4, first: 0x10, &output) }
        let known = StaticTable.number(of: field.id, field.value)
        if known > 0 { return output.integer(known, bits: 7, first: 0x80) }
        if field.id.isSecret { return literal(field, bits: 4, first: 0x10, &output) }
        if field.id.isNeverTheSame { return literal(field, bits: 4, first: 0, &output) }
        let hash = hash(field)
        if let number = find(field, hash) {
            return output.integer(StaticTable.last + table.next - number, bits: 7, first: 0x80)
        }
        // Numbers of entries fit until two billion were added; then the table stays as it is.
        guard wasSeen(hash), field.name.count + field.value.count + 32 <= table.limit / 4,
            table.next < Int(Int32.max)
        else {
            return literal(field, bits: 4, first: 0, &output)
        }
        literal(field, bits: 6, first: 0x40, &output)
        add(field, hash)
    }

    @inline(__always) private func literal(
        _ field: HeaderField, bits: UInt8, first: UInt8, _ output: inout BlockWriter
    ) {
        let name = StaticTable.number(of: field.id)
        output.integer(name, bits: bits, first: first)
        if name == 0 { output.string(field.name) }
        output.string(field.value)
    }

    // MARK: Finding

    @inline(__always) private func hash(_ field: HeaderField) -> UInt32 {
        let hash = HeaderEncoder.mix(HeaderEncoder.mix(tools.seed, field.name), field.value)
        return UInt32(truncatingIfNeeded: hash >> 32)
    }

    @inline(__always) private static func mix(_ start: UInt64, _ bytes: Bytes) -> UInt64 {
        var hash = start ^ UInt64(bytes.count)
        var position = UnsafeRawPointer(bytes.base)
        var left = bytes.count
        while left >= 8 {
            hash = fold(hash, position.loadUnaligned(as: UInt64.self))
            position += 8
            left -= 8
        }
        if left >= 4 {
            let low = UInt64(position.loadUnaligned(as: UInt32.self))
            let high = UInt64((position + left - 4).loadUnaligned(as: UInt32.self))
            return fold(hash, high << 32 | low)
        }
        guard left > 0 else { return hash }
        let first = UInt64(position.load(as: UInt8.self))
        let middle = UInt64((position + left / 2).load(as: UInt8.self))
        let last = UInt64((position + left - 1).load(as: UInt8.self))
        return fold(hash, first << 16 | middle << 8 | last)
    }

    @inline(__always) private static func fold(_ hash: UInt64, _ word: UInt64) -> UInt64 {
        let product = (hash ^ word).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        return product.high ^ product.low
    }

    @inline(__always) private func find(_ field: HeaderField, _ hash: UInt32) -> Int? {
        guard let places else { return nil }
        let set = Int(hash) & (HeaderEncoder.sets - 1)
        for place in 2 * set...2 * set + 1 {
            let number = Int(places[place])
            guard table.holds(number), let entry = table[number], entry.pointee.hash == hash,
                entry.pointee.value.equals(field.value), entry.pointee.name.equals(field.name)
            else { continue }
            return number
        }
        return nil
    }

    /// Whether a field with this hash was sent before; it counts as sent now.
    private mutating func wasSeen(_ hash: UInt32) -> Bool {
        let known =
            seen
            ?? {
                let made = UnsafeMutablePointer<UInt16>.allocate(capacity: HeaderEncoder.seenBefore)
                made.initialize(repeating: 0, count: HeaderEncoder.seenBefore)
                return made
            }()
        seen = known
        let place = Int(hash >> 8) & (HeaderEncoder.seenBefore - 1)
        let mark = UInt16(truncatingIfNeeded: hash >> 16) | 1
        defer { known[place] = mark }
        return known[place] == mark
    }

    private mutating func add(_ field: HeaderField, _ hash: UInt32) {
        let all = 2 * HeaderEncoder.sets
        let places =
            places
            ?? {
                let made = UnsafeMutablePointer<Int32>.allocate(capacity: all)
                made.initialize(repeating: -1, count: all)
                return made
            }()
        self.places = places
        let number = Int32(table.next)
        table.insert(field.id, field.name, field.value, hash: hash)
        let set = 2 * (Int(hash) & (HeaderEncoder.sets - 1))
        places[places[set] <= places[set + 1] ? set : set + 1] = number
    }
}

extension FieldName {
    /// Credentials must not enter a table that clients share upstream, at no hop (RFC 7541 §7.1).
    @inline(__always) var isSecret: Bool {
        switch self {
        case .authorization, .proxyAuthorization, .cookie, .setCookie, .password, .xPassword, .xAPIKey: true
        default: false
        }
    }

    /// Values that differ with every request, or nearly so.
    @inline(__always) var isNeverTheSame: Bool {
        switch self {
        case .grpcTimeout, .grpcMessage, .xRequestID, .contentLength: return true
        default: return false
        }
    }
}
