/// JSON whose objects keep the order of their keys.
public indirect enum JSONValue {
    case bool(Bool)
    case integer(Int)
    case string(String)
    /// Written as it is: a number whose digits are to be kept.
    case literal(String)
    case array([JSONValue])
    case object([(key: String, value: JSONValue)])

    /// Two spaces of indentation, one element per line, short lists of plain values on one line.
    public func text(indentation: Int = 0) -> String {
        let inner = String(repeating: " ", count: indentation + 2)
        let outer = String(repeating: " ", count: indentation)
        switch self {
        case .bool(let value): return value ? "true" : "false"
        case .integer(let value): return String(value)
        case .string(let value): return Self.quote(value)
        case .literal(let value): return value
        case .array(let elements) where elements.allSatisfy(\.isPlain):
            return "[" + elements.map { $0.text() }.joined(separator: ", ") + "]"
        case .array(let elements):
            let lines = elements.map { inner + $0.text(indentation: indentation + 2) }
            return "[\n" + lines.joined(separator: ",\n") + "\n\(outer)]"
        case .object(let members) where members.isEmpty:
            return "{}"
        case .object(let members):
            let lines = members.map { "\(inner)\(Self.quote($0.key)): \($0.value.text(indentation: indentation + 2))" }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(outer)}"
        }
    }

    private var isPlain: Bool {
        switch self {
        case .bool, .integer, .string, .literal: true
        case .array, .object: false
        }
    }

    private static func quote(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.isHidden:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
