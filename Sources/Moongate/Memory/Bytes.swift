import Glibc

/// A view of bytes that somebody else keeps alive: a pointer and a length, trivially copied.
///
/// The owner is named where a `Bytes` is stored. Nothing is copied, retained or checked on the way.
struct Bytes {
    var base: UnsafePointer<UInt8>
    var count: Int

    @inline(__always)
    init(_ base: UnsafePointer<UInt8>, _ count: Int) {
        assert(count >= 0, "a view of less than nothing")
        self.base = base
        self.count = count
    }

    /// A literal, which lives as long as the process.
    @inline(__always)
    init(_ literal: StaticString) {
        self.init(literal.utf8Start, literal.utf8CodeUnitCount)
    }

    static var empty: Bytes { Bytes("") }

    @inline(__always) var isEmpty: Bool { count == 0 }
    @inline(__always) var buffer: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }

    /// `index` must be below `count`, which builds with assertions check.
    @inline(__always) subscript(index: Int) -> UInt8 {
        assert(index >= 0 && index < count, "byte \(index) of \(count)")
        return base[index]
    }

    /// `range` must lie within `0..<count`, which builds with assertions check.
    @inline(__always) subscript(range: Range<Int>) -> Bytes {
        assert(range.lowerBound >= 0 && range.upperBound <= count, "bytes \(range) of \(count)")
        return Bytes(base + range.lowerBound, range.count)
    }

    /// The last bytes come first: names of one length mostly differ there, which spares them the call.
    @inline(__always) func equals(_ other: Bytes) -> Bool {
        guard count == other.count, count > 0 else { return count == other.count }
        return base[count - 1] == other.base[count - 1] && memcmp(base, other.base, count) == 0
    }

    @inline(__always) func equals(_ literal: StaticString) -> Bool { equals(Bytes(literal)) }

    @inline(__always) func starts(with prefix: Bytes) -> Bool {
        count >= prefix.count && memcmp(base, prefix.base, prefix.count) == 0
    }

    /// ASCII letters compare without case; every other byte as it is.
    func equalsIgnoringCase(_ other: Bytes) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count where base[index].asciiLowercased != other.base[index].asciiLowercased { return false }
        return true
    }

    func firstIndex(of byte: UInt8) -> Int? {
        guard let found = memchr(base, Int32(byte), count) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }

    func lastIndex(of byte: UInt8) -> Int? {
        var index = count
        while index > 0 {
            index -= 1
            if base[index] == byte { return index }
        }
        return nil
    }

    /// A copy in memory of its own; whoever keeps it deallocates `base`.
    static func allocated(_ text: String) -> Bytes {
        text.withBytes { bytes in
            let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
            copy.update(from: bytes.base, count: bytes.count)
            return Bytes(copy, bytes.count)
        }
    }

    /// The bytes as text, bad UTF-8 replaced. Allocates: not for the way of a request.
    var string: String { String(decoding: buffer, as: UTF8.self) }
}

extension UInt8 {
    /// `A`–`Z` as `a`–`z`, everything else as it is.
    @inline(__always) var asciiLowercased: UInt8 { self &- 65 < 26 ? self | 0x20 : self }
}

extension String {
    /// Lends the UTF-8 bytes for the time of the call.
    func withBytes<Result>(_ body: (Bytes) throws -> Result) rethrows -> Result {
        var copy = self
        return try copy.withUTF8 { buffer in
            guard let base = buffer.baseAddress else { return try body(.empty) }
            return try body(Bytes(base, buffer.count))
        }
    }
}
