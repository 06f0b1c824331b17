import MoongateConfig

/// Writes the canonical form of a path, octet by octet. A value on the stack of `RequestPath.canonicalize`.
struct PathCanonicalizer {
    private let source: Bytes
    private let isStrict: Bool
    private let isGRPC: Bool
    private let target: UnsafeMutablePointer<UInt8>
    /// Octets written.
    private(set) var count = 0
    private(set) var traits: PathTraits = []
    private var index = 0
    /// The start of the segment that is being written.
    private var segment = 0
    /// Behind the last `%25`: two digits there would make an escape of it for those who decode twice.
    private var afterPercent = -2
    /// The last percent sign that begins no escape (lenient): what is decoded behind it must not make one of it.
    private var barePercent = -3

    /// - Parameter target: has room for as many octets as `source` has.
    init(_ source: Bytes, _ mode: PathMode, isGRPC: Bool, _ target: UnsafeMutablePointer<UInt8>) {
        self.source = source
        self.target = target
        isStrict = mode == .strict
        self.isGRPC = isGRPC && mode == .strict
    }

    mutating func run() -> PathFault? {
        while index < source.count {
            if let fault = step() { return fault }
        }
        return endSegment()
    }

    private mutating func step() -> PathFault? {
        let octet = source[index]
        switch octet {
        case UInt8(ascii: "/"): return slash()
        case UInt8(ascii: "%"): return escape()
        case UInt8(ascii: ";"): noteParameters()
        case UInt8(ascii: "\\"):
            if isStrict { return .backslash }
            return boundary()
        case UInt8(ascii: "#") where isStrict: return .fragment
        case UInt8(ascii: " ") where isStrict: return .blank
        case ..<0x20 where isStrict, 0x7f where isStrict: return .controlCharacter
        case 0x80... where isStrict: return .notASCII
        default: break
        }
        index += 1
        return put(octet)
    }

    // MARK: Segments

    private mutating func slash() -> PathFault? {
        if count > 0 && target[count - 1] == UInt8(ascii: "/") {
            if isGRPC { return .emptySegment }
            if isStrict {
                index += 1
                return nil
            }
            traits.insert(.escaped)
        }
        return boundary()
    }

    /// Copies one octet that ends a segment for some servers.
    private mutating func boundary() -> PathFault? {
        if let fault = endSegment() { return fault }
        target[count] = source[index]
        count += 1
        index += 1
        segment = count
        return nil
    }

    /// `.` and `..` (RFC 3986 §5.2.4), whatever follows that a server may take off first: parameters, an encoded query or fragment.
    private func endSegment() -> PathFault? {
        guard count > segment, target[segment] == UInt8(ascii: ".") else { return nil }
        var end = segment + 1
        if end < count, target[end] == UInt8(ascii: ".") { end += 1 }
        return end == count || isDelimiter(at: end) ? .dotSegment : nil
    }

    private func isDelimiter(at place: Int) -> Bool {
        let octet = place + 2 < count ? PathEscape.value(UnsafePointer(target) + place) : nil
        switch octet ?? target[place] {
        case UInt8(ascii: ";"), UInt8(ascii: "#"), UInt8(ascii: "?"): return true
        default: return false
        }
    }

    private mutating func noteParameters() {
        traits.insert(isStrict ? [.escaped, .parameters] : .escaped)
    }

    // MARK: Escapes

    private mutating func escape() -> PathFault? {
        if isGRPC { return .escapeInGRPC }
        guard index + 2 < source.count, let octet = PathEscape.value(source.base + index) else {
            if isStrict { return .malformedEscape }
            traits.insert(.escaped)
            barePercent = count
            index += 1
            return put(UInt8(ascii: "%"))
        }
        if PathEscape.isUnreserved(octet) && !completesEscape(octet) {
            index += 3
            return put(octet)
        }
        traits.insert(.escaped)
        if isStrict && octet >= 0x80 { return sequence() }
        return keep(octet)
    }

    /// An escape that stays one.
    private mutating func keep(_ octet: UInt8) -> PathFault? {
        switch octet {
        case 0x2f, 0x5c:
            if octet == 0x5c && isStrict { return .backslash }
            if let fault = endSegment() { return fault }
            if octet == 0x2f && isStrict { traits.insert(.encodedSlash) }
            copyEscape()
            segment = count
            return nil
        case ..<0x20 where isStrict, 0x7f where isStrict: return .controlCharacter
        case UInt8(ascii: ";"): noteParameters()
        case UInt8(ascii: "?") where isStrict, UInt8(ascii: "#") where isStrict: traits.insert(.encodedEnd)
        default: break
        }
        copyEscape()
        if octet == UInt8(ascii: "%") { afterPercent = count }
        return nil
    }

    private mutating func copyEscape() {
        for offset in 0..<3 {
            let octet = source[index + offset]
            target[count + offset] = isStrict && octet > UInt8(ascii: "Z") ? octet & 0xdf : octet
        }
        index += 3
        count += 3
    }

    /// Escapes that are one character beyond ASCII together (RFC 3629 §4).
    private mutating func sequence() -> PathFault? {
        var octets: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
        let length = withUnsafeMutableBytes(of: &octets) { octets -> Int in
            var length = 0
            while length < 4, index + length * 3 + 2 < source.count,
                let octet = PathEscape.value(source.base + index + length * 3), octet >= 0x80
            {
                octets[length] = octet
                length += 1
            }
            return PathEscape.sequenceLength(UnsafeRawBufferPointer(octets), length)
        }
        guard length > 0 else { return .notUTF8 }
        for _ in 0..<length { copyEscape() }
        return nil
    }

    /// Whether a percent sign that stands alone would begin an escape with this digit behind it.
    private func completesEscape(_ octet: UInt8) -> Bool {
        guard PathEscape.digit(octet) != nil else { return false }
        return barePercent == count - 1
            || barePercent == count - 2 && PathEscape.digit(target[count - 1]) != nil
    }

    @inline(__always) private mutating func put(_ octet: UInt8) -> PathFault? {
        target[count] = octet
        count += 1
        guard isStrict, count == afterPercent + 2, PathEscape.digit(target[count - 2]) != nil,
            PathEscape.digit(octet) != nil
        else { return nil }
        return .doubleEncoding
    }
}

/// Percent-encoding (RFC 3986 §2.1).
enum PathEscape {
    @inline(__always) static func digit(_ octet: UInt8) -> UInt8? {
        switch octet {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): octet - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: "a")...UInt8(ascii: "f"):
            (octet | 0x20) - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    /// The octet that the three at `base` stand for; `nil`: they are no escape.
    @inline(__always) static func value(_ base: UnsafePointer<UInt8>) -> UInt8? {
        guard base[0] == UInt8(ascii: "%"), let high = digit(base[1]), let low = digit(base[2]) else { return nil }
        return high << 4 | low
    }

    /// RFC 3986 §2.3
    @inline(__always) static func isUnreserved(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    /// Octets of the character that the first of `octets` begins; 0: it is none, is overlong, a surrogate or cut.
    static func sequenceLength(_ octets: UnsafeRawBufferPointer, _ count: Int) -> Int {
        let first = octets[0]
        let second: ClosedRange<UInt8>
        let length: Int
        switch first {
        case 0xc2...0xdf: (length, second) = (2, 0x80...0xbf)
        case 0xe0: (length, second) = (3, 0xa0...0xbf)
        case 0xed: (length, second) = (3, 0x80...0x9f)
        case 0xe1...0xef: (length, second) = (3, 0x80...0xbf)
        case 0xf0: (length, second) = (4, 0x90...0xbf)
        case 0xf1...0xf3: (length, second) = (4, 0x80...0xbf)
        case 0xf4: (length, second) = (4, 0x80...0x8f)
        default: return 0
        }
        guard count >= length, second.contains(octets[1]) else { return 0 }
        for index in 2..<max(2, length) where !(0x80...0xbf).contains(octets[index]) { return 0 }
        return length
    }
}
