import CMoongate

/// A value as a shared dict keeps it: a number in place, or bytes.
struct DictValue {
    enum Kind: UInt8 {
        case boolean
        case integer
        case number
        case text
        /// The tape of a table, see `DictTape`.
        case table
    }
    var kind: Kind
    /// A boolean, an integer's or a floating-point number's bits.
    var bits: UInt64 = 0
    /// Of texts and tables; somebody else's.
    var bytes = Bytes.empty
}

/// Tables as bytes and back: each value is a kind and what belongs to it, in the order of the tape.
enum DictTape {
    /// - Parameter place: of the table's MG_TABLE on the tape.
    /// - Returns: `nil` if the table holds a function, thread or object.
    static func encode(_ tape: UnsafeMutablePointer<mg_tape>, from place: Int) -> [UInt8]? {
        guard let values = tape.pointee.values else { return nil }
        var bytes: [UInt8] = []
        var depth = 0
        var index = place
        repeat {
            guard index < Int(tape.pointee.count), append(values[index], to: &bytes) else { return nil }
            if values[index].kind == MG_TABLE { depth += 1 }
            if values[index].kind == MG_END { depth -= 1 }
            index += 1
        } while depth > 0
        return bytes
    }

    private static func append(_ value: mg_value, to bytes: inout [UInt8]) -> Bool {
        switch value.kind {
        case MG_NIL, MG_NULL, MG_TABLE, MG_END: bytes.append(UInt8(truncatingIfNeeded: value.kind.rawValue))
        case MG_BOOLEAN:
            bytes.append(UInt8(truncatingIfNeeded: value.kind.rawValue))
            bytes.append(value.boolean ? 1 : 0)
        case MG_INTEGER, MG_NUMBER:
            bytes.append(UInt8(truncatingIfNeeded: value.kind.rawValue))
            let bits = value.kind == MG_INTEGER ? UInt64(bitPattern: value.integer) : value.number.bitPattern
            withUnsafeBytes(of: bits) { bytes.append(contentsOf: $0) }
        case MG_STRING:
            bytes.append(UInt8(truncatingIfNeeded: value.kind.rawValue))
            withUnsafeBytes(of: value.size) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: UnsafeBufferPointer(start: value.bytes, count: Int(value.size)))
        default: return false
        }
        return true
    }

    /// Appends to `tape` what `encode` gave. Texts stay where they are: `bytes` must live until they were pushed.
    static func decode(_ bytes: Bytes, to tape: UnsafeMutablePointer<mg_tape>) {
        var place = 0
        while place < bytes.count {
            var value = mg_value()
            value.kind = mg_kind(rawValue: UInt32(bytes[place]))
            place += 1
            let source = UnsafeRawPointer(bytes.base + place)
            switch value.kind {
            case MG_BOOLEAN:
                value.boolean = bytes[place] != 0
                place += 1
            case MG_INTEGER:
                value.integer = source.loadUnaligned(as: Int64.self)
                place += 8
            case MG_NUMBER:
                value.number = source.loadUnaligned(as: Double.self)
                place += 8
            case MG_STRING:
                value.size = source.loadUnaligned(as: UInt32.self)
                value.bytes = bytes.base + place + 4
                place += 4 + Int(value.size)
            default: break
            }
            _ = mg_tape_push(tape, value)
        }
    }
}
