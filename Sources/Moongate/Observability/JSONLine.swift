import Glibc
import MoongateConfig

/// Writes one flat JSON object and a line break into memory that its owner lends.
///
/// Allocates nothing. Always ends as valid JSON in valid UTF-8: values that are too long are cut and end in `…`,
/// fields for which no room is left are not written.
struct JSONLine {
    private let base: UnsafeMutablePointer<UInt8>
    /// Two bytes less than the memory: the end always fits.
    private let limit: Int
    private var count = 0

    /// - Parameter memory: at least 64 bytes; stays the caller's.
    init(_ memory: UnsafeMutableBufferPointer<UInt8>) {
        guard let base = memory.baseAddress, memory.count >= 64 else {
            preconditionFailure("a JSON line in \(memory.count) bytes")
        }
        self.base = base
        limit = memory.count - 2
        put(UInt8(ascii: "{"))
    }

    /// Closes the object. The bytes lie in the lent memory.
    mutating func end() -> Bytes {
        base[count] = UInt8(ascii: "}")
        base[count + 1] = UInt8(ascii: "\n")
        return Bytes(base, count + 2)
    }

    /// - Parameters:
    ///   - value: any bytes; what is not UTF-8 becomes U+FFFD.
    ///   - longest: most bytes of output between the quotes.
    mutating func field(_ name: Bytes, _ value: Bytes, longest: Int = 512) {
        guard key(name, valueRoom: 2 + JSONLine.ellipsis.count) else { return }
        put(UInt8(ascii: "\""))
        text(value, end: min(count + longest, limit - 1))
        put(UInt8(ascii: "\""))
    }

    mutating func field(_ name: Bytes, _ value: UInt64) {
        guard key(name, valueRoom: 20) else { return }
        digits(value)
    }

    /// - Parameter literal: `true`, `false` or a number as JSON writes it.
    mutating func field(_ name: Bytes, literal: Bytes) {
        guard key(name, valueRoom: literal.count) else { return }
        copy(literal)
    }

    /// Microseconds as milliseconds with three decimals.
    mutating func field(_ name: Bytes, milliseconds microseconds: UInt64) {
        guard key(name, valueRoom: 24) else { return }
        digits(microseconds / 1000)
        put(UInt8(ascii: "."))
        digits(microseconds % 1000, width: 3)
    }

    /// An RFC 3339 time in UTC with milliseconds: `2026-11-21T02:40:26.123Z`.
    ///
    /// - Parameter unixMilliseconds: since 1970; times outside the years 1970 to 9999 are written as the nearest.
    mutating func field(_ name: Bytes, unixMilliseconds: Int64) {
        guard key(name, valueRoom: 26) else { return }
        let time = CalendarTime(unixMilliseconds: unixMilliseconds)
        put(UInt8(ascii: "\""))
        digits(UInt64(time.year), width: 4)
        put(UInt8(ascii: "-"))
        digits(UInt64(time.month), width: 2)
        put(UInt8(ascii: "-"))
        digits(UInt64(time.day), width: 2)
        put(UInt8(ascii: "T"))
        digits(UInt64(time.hour), width: 2)
        put(UInt8(ascii: ":"))
        digits(UInt64(time.minute), width: 2)
        put(UInt8(ascii: ":"))
        digits(UInt64(time.second), width: 2)
        put(UInt8(ascii: "."))
        digits(UInt64(time.millisecond), width: 3)
        put(UInt8(ascii: "Z"))
        put(UInt8(ascii: "\""))
    }

    /// Comma, name and colon; `false` and nothing written when name and value may not fit.
    private mutating func key(_ name: Bytes, valueRoom: Int) -> Bool {
        // Six bytes of output for each byte of the name is the worst that escaping does.
        guard limit - count >= 4 + name.count * 6 + valueRoom else { return false }
        if count > 1 { put(UInt8(ascii: ",")) }
        put(UInt8(ascii: "\""))
        text(name, end: limit)
        put(UInt8(ascii: "\""))
        put(UInt8(ascii: ":"))
        return true
    }

    /// The escaped text, ending before `end`.
    private mutating func text(_ value: Bytes, end: Int) {
        var index = 0
        while index < value.count {
            let run = plainRun(value, from: index)
            let room = end - JSONLine.ellipsis.count - count
            let left = value.count - index
            // The rest fits as it is, with nothing to escape.
            if run == left && run <= end - count {
                copy(value[index..<index + run])
                return
            }
            if run > room {
                copy(value[index..<index + max(0, room)])
                return copy(JSONLine.ellipsis)
            }
            copy(value[index..<index + run])
            index += run
            guard index < value.count else { return }
            guard 6 <= end - JSONLine.ellipsis.count - count else { return copy(JSONLine.ellipsis) }
            index += escape(value, at: index)
        }
    }

    /// How many bytes from `start` on are printable ASCII that needs no escape.
    private func plainRun(_ value: Bytes, from start: Int) -> Int {
        var index = start
        while index < value.count {
            let byte = value[index]
            if byte &- 0x20 >= 0x5f || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { break }
            index += 1
        }
        return index - start
    }

    /// Writes the character that begins at `index`, at most six bytes; returns how many bytes it took.
    private mutating func escape(_ value: Bytes, at index: Int) -> Int {
        let byte = value[index]
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            put(UInt8(ascii: "\\"))
            put(byte)
        case 0x0a: copy(Bytes("\\n"))
        case 0x0d: copy(Bytes("\\r"))
        case 0x09: copy(Bytes("\\t"))
        case ..<0x20, 0x7f:
            hexEscape(UInt32(byte))
        default:
            let length = UTF8Scan.length(value, at: index)
            guard length > 0 else {
                copy(JSONLine.replacement)
                return 1
            }
            let scalar = UTF8Scan.scalar(value, at: index, length: length)
            if scalar.isHidden { hexEscape(scalar.value) } else { copy(value[index..<index + length]) }
            return length
        }
        return 1
    }

    private mutating func digits(_ value: UInt64, width: Int = 1) {
        var digits = 1
        var bound: UInt64 = 10
        while digits < 20 && value >= bound {
            digits += 1
            bound = digits == 20 ? .max : bound * 10
        }
        digits = max(digits, width)
        var rest = value
        for place in stride(from: digits - 1, through: 0, by: -1) {
            base[count + place] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
        count += digits
    }

    /// Six bytes; hidden characters have four digits at most.
    private mutating func hexEscape(_ value: UInt32) {
        copy(Bytes("\\u"))
        for shift in [12, 8, 4, 0] as [UInt32] { put(hexDigit(UInt8(truncatingIfNeeded: value >> shift & 15))) }
    }

    private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

    private mutating func put(_ byte: UInt8) {
        base[count] = byte
        count += 1
    }

    private mutating func copy(_ bytes: Bytes) {
        memcpy(base + count, bytes.base, bytes.count)
        count += bytes.count
    }

    private static var ellipsis: Bytes { Bytes("…") }
    private static var replacement: Bytes { Bytes("\u{FFFD}") }
}

/// Finds the well-formed sequences of UTF-8 (Unicode 15, table 3-7).
enum UTF8Scan {
    /// Length of the well-formed character that begins at `index`; 0 if there is none.
    static func length(_ value: Bytes, at index: Int) -> Int {
        let lead = value[index]
        switch lead {
        case ..<0x80: return 1
        case 0xc2...0xdf: return follows(value, index, 1, 0x80...0xbf) ? 2 : 0
        case 0xe0: return follows(value, index, 2, 0xa0...0xbf) ? 3 : 0
        case 0xed: return follows(value, index, 2, 0x80...0x9f) ? 3 : 0
        case 0xe1...0xef: return follows(value, index, 2, 0x80...0xbf) ? 3 : 0
        case 0xf0: return follows(value, index, 3, 0x90...0xbf) ? 4 : 0
        case 0xf1...0xf3: return follows(value, index, 3, 0x80...0xbf) ? 4 : 0
        case 0xf4: return follows(value, index, 3, 0x80...0x8f) ? 4 : 0
        default: return 0
        }
    }

    /// The character whose `length` well-formed bytes begin at `index`.
    static func scalar(_ value: Bytes, at index: Int, length: Int) -> Unicode.Scalar {
        let lead = UInt32(value[index])
        var number = length == 1 ? lead : lead & (0x7F >> UInt32(length))
        for offset in 1..<max(1, length) { number = number << 6 | UInt32(value[index + offset] & 0x3F) }
        return Unicode.Scalar(number) ?? "\u{FFFD}"
    }

    /// Are there `count` more bytes, the first in `second` and the others any continuation?
    private static func follows(_ value: Bytes, _ index: Int, _ count: Int, _ second: ClosedRange<UInt8>) -> Bool {
        guard index + count < value.count, second.contains(value[index + 1]) else { return false }
        for offset in 2..<(count + 1) where value[index + offset] & 0xc0 != 0x80 { return false }
        return true
    }
}
