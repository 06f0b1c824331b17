import CMoongate

/// Reads a JSON text (RFC 8259) onto a tape, bounded in bytes, depth and values.
///
/// Texts without escapes point into the source; the others are written into `room`, which must stay as long as the
/// tape. Whole numbers that fit 64 bits stay whole.
struct JSONReader {
    struct Limits {
        var bytes = 1 << 20
        /// As deep as tables from scripts may be, so that what was read can be written again.
        var depth = 32
        var values = 1 << 18
    }

    private let source: Bytes
    private let limits: Limits
    private let run: RunLimit
    private let tape: UnsafeMutablePointer<mg_tape>
    private let room: UnsafeMutablePointer<UInt8>
    private var used = 0
    private var place = 0
    private let first: Int32

    /// - Parameter room: as many bytes as `source` has, at least one.
    init(
        _ source: Bytes, to tape: UnsafeMutablePointer<mg_tape>, room: UnsafeMutablePointer<UInt8>,
        limits: Limits = Limits(), within run: RunLimit = RunLimit()
    ) {
        self.source = source
        self.tape = tape
        self.room = room
        self.limits = limits
        self.run = run
        first = tape.pointee.count
    }

    /// Reads the one value that the text is. After a fault the tape is as it was before.
    mutating func read() throws(JSONFault) {
        do throws(JSONFault) {
            guard source.count <= limits.bytes else {
                throw JSONFault(message: "the text is longer than \(limits.bytes) bytes")
            }
            try value(depth: 0)
            skipBlanks()
            guard place == source.count else { throw fault("there is more behind the value") }
        } catch {
            tape.pointee.count = first
            throw error
        }
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(JSONFault) {
        skipBlanks()
        guard place < source.count else { throw fault("the text ends where a value is due") }
        switch source[place] {
        case UInt8(ascii: "{"): try object(depth: depth)
        case UInt8(ascii: "["): try array(depth: depth)
        case UInt8(ascii: "\""): try text()
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
        case UInt8(ascii: "t"): try word("true", boolean(true))
        case UInt8(ascii: "f"): try word("false", boolean(false))
        case UInt8(ascii: "n"): try word("null", mark(MG_NULL))
        default: throw fault("no value begins like this")
        }
    }

    private mutating func object(depth: Int) throws(JSONFault) {
        let start = try open(MG_TABLE, depth)
        var count: UInt32 = 0
        while try hasNext(after: count, end: UInt8(ascii: "}")) {
            guard place < source.count, source[place] == UInt8(ascii: "\"") else { throw fault("a name is due") }
            try text()
            skipBlanks()
            guard take(UInt8(ascii: ":")) else { throw fault("a colon is due") }
            try value(depth: depth + 1)
            count += 1
        }
        // On a tape, a table of size 1 is one that a script has marked as an array; otherwise the size is but a hint.
        try close(start, count == 1 ? 2 : count)
    }

    private mutating func array(depth: Int) throws(JSONFault) {
        let start = try open(MG_ARRAY, depth)
        var count: UInt32 = 0
        while try hasNext(after: count, end: UInt8(ascii: "]")) {
            try value(depth: depth + 1)
            count += 1
        }
        try close(start, count)
    }

    private mutating func open(_ kind: mg_kind, _ depth: Int) throws(JSONFault) -> Int {
        guard depth < limits.depth else { throw fault("more than \(limits.depth) levels") }
        place += 1
        let start = Int(tape.pointee.count)
        try push(mark(kind))
        return start
    }

    private mutating func close(_ start: Int, _ count: UInt32) throws(JSONFault) {
        tape.pointee.values?[start].size = count
        try push(mark(MG_END))
    }

    /// Whether another element follows; takes the comma before it or the end.
    private mutating func hasNext(after count: UInt32, end: UInt8) throws(JSONFault) -> Bool {
        skipBlanks()
        if take(end) { return false }
        guard count > 0 else { return true }
        guard take(UInt8(ascii: ",")) else { throw fault("a comma or the end is due") }
        skipBlanks()
        return true
    }

    private mutating func word(_ word: StaticString, _ value: mg_value) throws(JSONFault) {
        let bytes = Bytes(word)
        guard source[place..<source.count].starts(with: bytes) else { throw fault("no value begins like this") }
        place += bytes.count
        try push(value)
    }

    // MARK: Numbers

    private mutating func number() throws(JSONFault) {
        let start = place
        let isNegative = take(UInt8(ascii: "-"))
        let leading = place
        var whole: Int64? = 0
        while let digit = digit() {
            // Counted downwards: the least number has no positive twin.
            let (tens, tooLarge) = (whole ?? 0).multipliedReportingOverflow(by: 10)
            let (sum, overflow) = tens.subtractingReportingOverflow(digit)
            whole = whole == nil || tooLarge || overflow ? nil : sum
        }
        guard place > leading else { throw fault("a digit is due") }
        guard place == leading + 1 || source[leading] != UInt8(ascii: "0") else {
            throw fault("a number begins with a zero")
        }
        let isWhole = try !fraction()
        if isWhole, let whole, isNegative || whole > .min {
            var value = mark(MG_INTEGER)
            value.integer = isNegative ? whole : -whole
            return try push(value)
        }
        guard place - start <= 1024, let number = Double(source[start..<place].string), number.isFinite else {
            throw JSONFault(message: "the number is too large", offset: start)
        }
        var value = mark(MG_NUMBER)
        value.number = number
        try push(value)
    }

    /// Decimals and exponent; false if there are none.
    private mutating func fraction() throws(JSONFault) -> Bool {
        let start = place
        if take(UInt8(ascii: ".")) { try digits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        return place > start
    }

    private mutating func digits() throws(JSONFault) {
        guard digit() != nil else { throw fault("a digit is due") }
        while digit() != nil {}
    }

    private mutating func digit() -> Int64? {
        guard place < source.count, source[place] &- UInt8(ascii: "0") < 10 else { return nil }
        place += 1
        return Int64(source[place - 1] - UInt8(ascii: "0"))
    }

    // MARK: Texts

    private mutating func text() throws(JSONFault) {
        place += 1
        let start = place
        while place < source.count {
            let byte = source[place]
            if byte == UInt8(ascii: "\"") {
                try push(source[start..<place])
                place += 1
                return
            }
            if byte == UInt8(ascii: "\\") { return try escapedText(from: start) }
            place += try characterLength()
        }
        throw fault("the text is not closed")
    }

    /// A text with escapes: written into the room, where it takes less than in the source.
    private mutating func escapedText(from start: Int) throws(JSONFault) {
        let begin = used
        append(source[start..<place])
        while place < source.count {
            let byte = source[place]
            if byte == UInt8(ascii: "\"") {
                place += 1
                return try push(Bytes(UnsafePointer(room + begin), used - begin))
            }
            if byte == UInt8(ascii: "\\") {
                try escape()
            } else {
                let length = try characterLength()
                append(source[place..<place + length])
                place += length
            }
        }
        throw fault("the text is not closed")
    }

    private func characterLength() throws(JSONFault) -> Int {
        guard source[place] >= 0x20 else { throw fault("a control character stands in a text") }
        let length = UTF8Scan.length(source, at: place)
        guard length > 0 else { throw fault("a text is not UTF-8") }
        return length
    }

    private mutating func escape() throws(JSONFault) {
        guard place + 1 < source.count else { throw fault("the text is not closed") }
        let letter = source[place + 1]
        guard letter != UInt8(ascii: "u") else { return try unicodeEscape() }
        guard let byte = JSONReader.escaped(letter) else { throw fault("no such escape") }
        put(byte)
        place += 2
    }

    private static func escaped(_ letter: UInt8) -> UInt8? {
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): letter
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0c
        case UInt8(ascii: "n"): 0x0a
        case UInt8(ascii: "r"): 0x0d
        case UInt8(ascii: "t"): 0x09
        default: nil
        }
    }

    /// `\u00e9`, and two of them for characters above U+FFFF (RFC 8259 §7). Halves alone are no character.
    private mutating func unicodeEscape() throws(JSONFault) {
        let first = try codeUnit()
        var code = first
        if first & 0xfc00 == 0xd800 {
            guard place + 1 < source.count, source[place] == UInt8(ascii: "\\"), source[place + 1] == UInt8(ascii: "u")
            else { throw fault("half of a surrogate pair") }
            let second = try codeUnit()
            guard second & 0xfc00 == 0xdc00 else { throw fault("half of a surrogate pair") }
            code = 0x10000 + (first & 0x3ff) << 10 + second & 0x3ff
        }
        guard let scalar = Unicode.Scalar(code) else { throw fault("half of a surrogate pair") }
        for byte in UTF8.encode(scalar) ?? .init() { put(byte) }
    }

    private mutating func codeUnit() throws(JSONFault) -> UInt32 {
        guard place + 6 <= source.count else { throw fault("four digits are due") }
        var code: UInt32 = 0
        for index in place + 2..<place + 6 {
            guard let digit = Hex.value(of: source[index]) else { throw fault("four digits are due") }
            code = code << 4 | UInt32(digit)
        }
        place += 6
        return code
    }

    // MARK: Parts

    private mutating func append(_ bytes: Bytes) {
        (room + used).update(from: bytes.base, count: bytes.count)
        used += bytes.count
    }

    private mutating func put(_ byte: UInt8) {
        room[used] = byte
        used += 1
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard place < source.count, source[place] == byte else { return false }
        place += 1
        return true
    }

    private mutating func skipBlanks() {
        while place < source.count {
            switch source[place] {
            case 0x20, 0x09, 0x0a, 0x0d: place += 1
            default: return
            }
        }
    }

    private func push(_ value: mg_value) throws(JSONFault) {
        guard !run.isExceeded else { throw JSONFault.outOfTime }
        guard Int(tape.pointee.count - first) < limits.values, mg_tape_push(tape, value) else {
            throw fault("more than \(limits.values) values")
        }
    }

    private func push(_ text: Bytes) throws(JSONFault) {
        var value = mark(MG_STRING)
        value.bytes = text.base
        value.size = UInt32(clamping: text.count)
        try push(value)
    }

    private func mark(_ kind: mg_kind) -> mg_value {
        var value = mg_value()
        value.kind = kind
        return value
    }

    private func boolean(_ bool: Bool) -> mg_value {
        var value = mark(MG_BOOLEAN)
        value.boolean = bool
        return value
    }

    private func fault(_ message: CallMessage) -> JSONFault { JSONFault(message: message, offset: place) }
}
