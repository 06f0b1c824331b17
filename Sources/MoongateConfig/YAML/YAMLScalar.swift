/// A YAML scalar: its text, and whether the core schema may give it another type than text.
struct YAMLScalar: Sendable {
    /// What a scalar means by the core schema (YAML 1.2.2 §10.3.2).
    enum Value: Sendable, Equatable {
        case null
        case bool(Bool)
        case integer(Int64)
        /// Digits that do not fit into 64 bits.
        case hugeInteger
        case number(Double)
        case text
    }

    let text: String
    let value: Value

    /// - Parameter isPlain: false for quoted and block scalars and those tagged `!!str`, which are always text.
    init(text: String, isPlain: Bool) {
        self.text = text
        value = isPlain ? Self.resolve(text) : .text
    }

    var kind: String {
        switch value {
        case .null: "nothing"
        case .bool: text
        case .integer, .hugeInteger: "a number"
        case .number: "a number that is not whole"
        case .text: "a text"
        }
    }

    private static func resolve(_ text: String) -> Value {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .bool(true)
        case "false", "False", "FALSE": return .bool(false)
        default: break
        }
        // Only these can begin a number; most scalars are told apart by their first byte.
        guard let first = text.utf8.first,
            isDigit(first) || first == UInt8(ascii: "-") || first == UInt8(ascii: "+")
                || first == UInt8(ascii: ".")
        else { return .text }
        return integer(text) ?? number(text) ?? .text
    }

    private static func integer(_ text: String) -> Value? {
        for (prefix, radix) in [("0o", 8), ("0x", 16)] where text.hasPrefix(prefix) {
            let digits = text.dropFirst(2)
            guard !digits.isEmpty, digits.utf8.allSatisfy({ isDigit($0, radix: radix) }) else { return nil }
            return Int64(digits, radix: radix).map(Value.integer) ?? .hugeInteger
        }
        let digits = text.utf8.first.map { isDigit($0) ? text[...] : text.dropFirst() } ?? ""
        guard !digits.isEmpty, digits.utf8.allSatisfy({ isDigit($0) }) else { return nil }
        return Int64(text).map(Value.integer) ?? .hugeInteger
    }

    private static func number(_ text: String) -> Value? {
        switch text {
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .number(.infinity)
        case "-.inf", "-.Inf", "-.INF": return .number(-.infinity)
        case ".nan", ".NaN", ".NAN": return .number(.nan)
        default: break
        }
        // Double also reads "1p3", "0x1.8", "infinity": only the core schema's characters come through here.
        let allowed = text.utf8.allSatisfy { isDigit($0) || "+-.eE".utf8.contains($0) }
        guard allowed, text.utf8.contains(where: { isDigit($0) }), let value = Double(text) else { return nil }
        return .number(value)
    }

    private static func isDigit(_ byte: UInt8, radix: Int = 10) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "7"): true
        case UInt8(ascii: "8"), UInt8(ascii: "9"): radix >= 10
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): radix == 16
        default: false
        }
    }
}

/// A text in quotation marks for a message, long ones cut.
func quoted(_ text: some StringProtocol) -> String { "\"\(shortened(text))\"" }

/// The beginning of a text that may be of any length and content, fit for one line of a message.
func shortened(_ text: some StringProtocol) -> String {
    let limit = 80
    let result = String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit))).visible()
    return text.unicodeScalars.count > limit ? result + "…" : result
}
