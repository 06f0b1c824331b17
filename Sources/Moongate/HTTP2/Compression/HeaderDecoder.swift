/// One direction's header compression state, for what comes (RFC 7541).
struct HeaderDecoder {
    private var table = DynamicTable()
    private let tools: CompressionTools

    /// - Parameter tools: the worker's.
    init(_ tools: CompressionTools) { self.tools = tools }

    /// The decoder must not be used afterwards.
    mutating func free() { table.free() }

    /// Decodes a whole header block.
    ///
    /// - Returns: false when the block is malformed: the connection cannot go on (RFC 9113 §4.3).
    @inline(__always) mutating func decode(_ block: Bytes, _ take: (DecodedField) -> Void) -> Bool {
        var input = BlockReader(block)
        while input.hasMore {
            let first = input.peek
            if first & 0x80 != 0 {
                guard let field = indexed(&input) else { return false }
                take(field)
            } else if first & 0xe0 == 0x20 {
                // §4.2: at the beginning of a block.
                guard !input.hasFields, let size = input.integer(bits: 5), size <= DynamicTable.defaultLimit else {
                    return false
                }
                table.resize(to: size)
                continue
            } else {
                guard let field = literal(&input, first) else { return false }
                take(field)
            }
            input.hasFields = true
        }
        return true
    }

    /// §6.1
    @inline(__always) private func indexed(_ input: inout BlockReader) -> DecodedField? {
        guard let number = input.integer(bits: 7) else { return nil }
        return field(number, neverIndexed: false)
    }

    @inline(__always) private func field(_ number: Int, neverIndexed: Bool) -> DecodedField? {
        if number <= StaticTable.last {
            guard number > 0 else { return nil }
            let entry = tools.fields + number
            return DecodedField(
                id: entry.pointee.id, name: entry.pointee.name, value: entry.pointee.value, isSound: true,
                neverIndexed: neverIndexed)
        }
        let place = table.next - (number - StaticTable.last)
        guard table.holds(place), let entry = table[place] else { return nil }
        return DecodedField(
            id: entry.pointee.id, name: entry.pointee.name, value: entry.pointee.value, isSound: entry.pointee.isSound,
            neverIndexed: neverIndexed)
    }

    /// §6.2
    private mutating func literal(_ input: inout BlockReader, _ first: UInt8) -> DecodedField? {
        let isIndexed = first & 0x40 != 0
        guard let number = input.integer(bits: isIndexed ? 6 : 4) else { return nil }
        let name: Bytes
        let id: FieldName
        if number > 0 {
            guard let known = field(number, neverIndexed: false) else { return nil }
            name = known.name
            id = known.id
        } else {
            guard let text = input.string(tools, to: tools.nameScratch) else { return nil }
            name = text
            id = FieldName.identify(text)
        }
        guard let value = input.string(tools, to: tools.valueScratch) else { return nil }
        let isSound = FieldSyntax.isSound(id, name, value)
        guard isIndexed else {
            return DecodedField(id: id, name: name, value: value, isSound: isSound, neverIndexed: first & 0x10 != 0)
        }
        // The name may be an entry's that makes room.
        let kept = number > StaticTable.last ? tools.nameScratch.hold(name) : name
        table.insert(id, kept, value, isSound: isSound)
        return DecodedField(id: id, name: kept, value: value, isSound: isSound, neverIndexed: false)
    }
}
