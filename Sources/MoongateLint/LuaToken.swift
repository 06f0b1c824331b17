/// A piece of Lua source.
struct LuaToken: Equatable {
    enum Kind: Equatable {
        case name(String)
        /// A keyword or an operator.
        case symbol(String)
        /// A text's contents, as far as they are plain.
        case text(String)
        case number
        case end
    }
    var kind: Kind
    var line: Int

    var symbol: String? {
        if case .symbol(let text) = kind { return text }
        return nil
    }
}

/// Why a source is no Lua.
struct LuaSyntaxFault: Error {
    var line: Int
    var message: String
}

/// Takes a source apart, by the rules of Lua 5.4 (manual §3.1).
struct LuaLexer {
    private let bytes: [UInt8]
    private var place = 0
    private var line = 1
    /// `---@param name Type` comments since they were last taken.
    private(set) var annotations: [String: String] = [:]

    static let keywords: Set<String> = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while",
    ]
    /// By their first octet, longer ones first.
    private static let operators = Dictionary(
        grouping: [
            "...", "<<", ">>", "//", "==", "~=", "<=", ">=", "::", "..", "+", "-", "*", "/", "%", "^", "#", "&", "~",
            "|",
            "<", ">", "=", "(", ")", "{", "}", "[", "]", ";", ":", ",", ".",
        ].map { (text: $0, bytes: Array($0.utf8)) }, by: { $0.bytes[0] })

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func takeAnnotations() -> [String: String] {
        defer { annotations = [:] }
        return annotations
    }

    mutating func next() throws(LuaSyntaxFault) -> LuaToken {
        try skipBlanks()
        guard let byte = peek() else { return LuaToken(kind: .end, line: line) }
        let start = line
        if LuaLexer.isLetter(byte) { return LuaToken(kind: word(), line: start) }
        if LuaLexer.isDigit(byte) || (byte == 0x2E && peek(1).map(LuaLexer.isDigit) ?? false) {
            try number()
            return LuaToken(kind: .number, line: start)
        }
        if byte == 0x22 || byte == 0x27 { return LuaToken(kind: .text(try quoted(byte)), line: start) }
        if byte == 0x5B, let level = longBracket() {
            return LuaToken(kind: .text(try long(level, "string")), line: line)
        }
        for symbol in LuaLexer.operators[byte] ?? [] where isNext(symbol.bytes) {
            place += symbol.bytes.count
            return LuaToken(kind: .symbol(symbol.text), line: start)
        }
        throw fault("unexpected character")
    }

    private func isNext(_ wanted: [UInt8]) -> Bool {
        for index in wanted.indices where peek(index) != wanted[index] { return false }
        return true
    }

    // MARK: Blanks and comments

    private mutating func skipBlanks() throws(LuaSyntaxFault) {
        while let byte = peek() {
            if byte == 0x0A {
                line += 1
                place += 1
            } else if byte == 0x20 || (0x09...0x0D).contains(byte) {
                place += 1
            } else if byte == 0x2D && peek(1) == 0x2D {
                place += 2
                try comment()
            } else {
                return
            }
        }
    }

    private mutating func comment() throws(LuaSyntaxFault) {
        if peek() == 0x5B, let level = longBracket() {
            _ = try long(level, "comment")
            return
        }
        let start = place
        while let byte = peek(), byte != 0x0A { place += 1 }
        annotate(String(decoding: bytes[start..<place], as: UTF8.self))
    }

    private mutating func annotate(_ comment: String) {
        guard comment.hasPrefix("-@param ") || comment.hasPrefix("- @param ") else { return }
        let words = comment.split(separator: " ").drop { $0 != "-@param" && $0 != "@param" }.dropFirst()
        guard words.count >= 2, let name = words.first else { return }
        annotations[String(name)] = String(words[words.startIndex + 1])
    }

    // MARK: Texts

    /// The level of a long bracket that opens here; `nil`: none does. Nothing is taken.
    private func longBracket() -> Int? {
        var level = 0
        while peek(1 + level) == 0x3D { level += 1 }
        return peek(1 + level) == 0x5B ? level : nil
    }

    private mutating func long(_ level: Int, _ what: String) throws(LuaSyntaxFault) -> String {
        place += level + 2
        let start = place
        while let byte = peek() {
            if byte == 0x5D, closes(level) {
                defer { place += level + 2 }
                return String(decoding: bytes[start..<place], as: UTF8.self)
            }
            if byte == 0x0A { line += 1 }
            place += 1
        }
        throw fault("unfinished long \(what)")
    }

    private func closes(_ level: Int) -> Bool {
        for index in 0..<level where peek(1 + index) != 0x3D { return false }
        return peek(1 + level) == 0x5D
    }

    private mutating func quoted(_ quote: UInt8) throws(LuaSyntaxFault) -> String {
        place += 1
        var content: [UInt8] = []
        while let byte = peek(), byte != quote {
            if byte == 0x0A || byte == 0x0D { throw fault("unfinished string") }
            place += 1
            if byte == 0x5C { try escape() } else { content.append(byte) }
        }
        guard peek() == quote else { throw fault("unfinished string") }
        place += 1
        return String(decoding: content, as: UTF8.self)
    }

    private mutating func escape() throws(LuaSyntaxFault) {
        guard let byte = peek() else { throw fault("unfinished string") }
        place += 1
        switch byte {
        case UInt8(ascii: "a"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"),
            UInt8(ascii: "t"), UInt8(ascii: "v"), 0x5C, 0x22, 0x27:
            return
        case 0x0A, 0x0D:
            line += 1
            if let other = peek(), other == 0x0A || other == 0x0D, other != byte { place += 1 }
        case UInt8(ascii: "x"):
            for _ in 0..<2 { try hexDigit() }
        case UInt8(ascii: "z"):
            while let blank = peek(), blank == 0x20 || (0x09...0x0D).contains(blank) {
                if blank == 0x0A { line += 1 }
                place += 1
            }
        case UInt8(ascii: "u"): try codePoint()
        case 0x30...0x39:
            var value = Int(byte - 0x30)
            for _ in 0..<2 {
                guard let digit = peek(), LuaLexer.isDigit(digit) else { break }
                value = value * 10 + Int(digit - 0x30)
                place += 1
            }
            if value > 255 { throw fault("decimal escape too large") }
        default: throw fault("invalid escape sequence '\\\(Character(Unicode.Scalar(byte)))'")
        }
    }

    private mutating func hexDigit() throws(LuaSyntaxFault) {
        guard let digit = peek(), LuaLexer.isHex(digit) else { throw fault("hexadecimal digit expected") }
        place += 1
    }

    private mutating func codePoint() throws(LuaSyntaxFault) {
        guard peek() == 0x7B else { throw fault("missing '{' in \\u{xxxx}") }
        place += 1
        let start = place
        try hexDigit()
        while let digit = peek(), LuaLexer.isHex(digit) { place += 1 }
        let digits = String(decoding: bytes[start..<place], as: UTF8.self).drop { $0 == "0" }
        if digits.count > 8 || (UInt32(digits, radix: 16) ?? 0) > 0x7FFF_FFFF { throw fault("UTF-8 value too large") }
        guard peek() == 0x7D else { throw fault("missing '}' in \\u{xxxx}") }
        place += 1
    }

    // MARK: Words and numbers

    private mutating func word() -> LuaToken.Kind {
        let start = place
        while let byte = peek(), LuaLexer.isLetter(byte) || LuaLexer.isDigit(byte) { place += 1 }
        let text = String(decoding: bytes[start..<place], as: UTF8.self)
        return LuaLexer.keywords.contains(text) ? .symbol(text) : .name(text)
    }

    /// As Lua's scanner: everything that could belong to a number, which then must be one.
    private mutating func number() throws(LuaSyntaxFault) {
        let start = place
        var isHexadecimal = false
        if peek() == 0x30, let mark = peek(1), mark | 0x20 == 0x78 {
            isHexadecimal = true
            place += 2
        }
        while let byte = peek() {
            let isExponent = isHexadecimal ? byte | 0x20 == 0x70 : byte | 0x20 == 0x65
            if isExponent {
                place += 1
                if let sign = peek(), sign == 0x2B || sign == 0x2D { place += 1 }
            } else if LuaLexer.isHex(byte) || byte == 0x2E {
                place += 1
            } else {
                break
            }
        }
        while let byte = peek(), LuaLexer.isLetter(byte) || LuaLexer.isDigit(byte) { place += 1 }
        let text = String(decoding: bytes[start..<place], as: UTF8.self)
        if !LuaLexer.isNumber(text, isHexadecimal) { throw fault("malformed number near '\(text)'") }
    }

    private static func isNumber(_ text: String, _ isHexadecimal: Bool) -> Bool {
        var rest = Array(text.utf8)[(isHexadecimal ? 2 : 0)...]
        var digits = 0
        var hasDot = false
        while let byte = rest.first {
            if isHexadecimal ? isHex(byte) : isDigit(byte) {
                digits += 1
            } else if byte == 0x2E && !hasDot {
                hasDot = true
            } else {
                break
            }
            rest = rest.dropFirst()
        }
        guard digits > 0 else { return false }
        guard let mark = rest.first else { return true }
        guard mark | 0x20 == (isHexadecimal ? 0x70 : 0x65) else { return false }
        rest = rest.dropFirst()
        if let sign = rest.first, sign == 0x2B || sign == 0x2D { rest = rest.dropFirst() }
        return !rest.isEmpty && rest.allSatisfy(isDigit)
    }

    // MARK: Bytes

    private func peek(_ ahead: Int = 0) -> UInt8? {
        place + ahead < bytes.count ? bytes[place + ahead] : nil
    }

    private func fault(_ message: String) -> LuaSyntaxFault { LuaSyntaxFault(line: line, message: message) }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isHex(_ byte: UInt8) -> Bool { isDigit(byte) || (0x61...0x66).contains(byte | 0x20) }
    private static func isLetter(_ byte: UInt8) -> Bool { byte == 0x5F || (0x61...0x7A).contains(byte | 0x20) }
}
