import CMoongate

/// Writes a value from a tape as JSON text (RFC 8259): without blanks, names in order, so that the same value always
/// gives the same text.
struct JSONWriter {
    /// Longest text that is made.
    static let limit = 1 << 20

    private(set) var text: [UInt8] = []
    private let run: RunLimit

    init(within run: RunLimit = RunLimit()) { self.run = run }

    /// Depth is bounded where the tape is made.
    mutating func write(_ value: TapeView) throws(JSONFault) {
        guard !run.isExceeded else { throw JSONFault.outOfTime }
        switch value.kind {
        case MG_NIL, MG_NULL: append("null")
        case MG_BOOLEAN: append(value.value.boolean ? "true" : "false")
        case MG_INTEGER: append(String(value.value.integer))
        case MG_NUMBER: try write(value.value.number)
        case MG_STRING: try write(text: value.bytes ?? .empty)
        case MG_TABLE, MG_LIST, MG_ARRAY: try write(container: value)
        default: throw JSONFault(message: "only tables, texts, numbers and booleans can be written as JSON")
        }
        guard text.count <= JSONWriter.limit else {
            throw JSONFault(message: "the JSON text is longer than \(JSONWriter.limit) bytes")
        }
    }

    private mutating func write(_ number: Double) throws(JSONFault) {
        guard number.isFinite else { throw JSONFault(message: "JSON has no infinite numbers and no nan") }
        // The shortest text that reads as the same number; Swift's form is JSON's.
        append(number.description)
    }

    private mutating func write(container: TapeView) throws(JSONFault) {
        if let elements = container.elements, container.isList || !elements.isEmpty {
            return try write(list: elements)
        }
        guard !container.isList else { throw JSONFault(message: "an array has other keys than 1 to its length") }
        var members: [(name: Bytes, value: TapeView)] = []
        for entry in container.entries {
            guard let name = entry.key.bytes else {
                throw JSONFault(message: "a table is neither a list without gaps nor has texts as keys only")
            }
            members.append((name, entry.value))
        }
        do {
            try members.sort { one, other in
                if run.isExceeded { throw JSONFault.outOfTime }
                return one.name.buffer.lexicographicallyPrecedes(other.name.buffer)
            }
        } catch {
            throw JSONFault.outOfTime
        }
        append("{")
        for (index, member) in members.enumerated() {
            if index > 0 { append(",") }
            try write(text: member.name)
            append(":")
            try write(member.value)
        }
        append("}")
    }

    private mutating func write(list: [TapeView]) throws(JSONFault) {
        append("[")
        for (index, value) in list.enumerated() {
            if index > 0 { append(",") }
            try write(value)
        }
        append("]")
    }

    private mutating func write(text value: Bytes) throws(JSONFault) {
        guard text.count + value.count <= JSONWriter.limit else {
            throw JSONFault(message: "the JSON text is longer than \(JSONWriter.limit) bytes")
        }
        append("\"")
        var index = 0
        while index < value.count {
            let length = UTF8Scan.length(value, at: index)
            guard length > 0 else { throw JSONFault(message: "a text is not UTF-8") }
            if length == 1 {
                write(ascii: value[index])
            } else {
                text.append(contentsOf: value[index..<index + length].buffer)
            }
            index += length
        }
        append("\"")
    }

    private mutating func write(ascii byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
        case 0x0a: append("\\n")
        case 0x0d: append("\\r")
        case 0x09: append("\\t")
        case ..<0x20, 0x7f:
            append("\\u00")
            text += [Hex.digit(byte >> 4), Hex.digit(byte & 15)]
        default: text.append(byte)
        }
    }

    private mutating func append(_ literal: StaticString) { text.append(contentsOf: Bytes(literal).buffer) }
    private mutating func append(_ string: String) { text.append(contentsOf: string.utf8) }
}
