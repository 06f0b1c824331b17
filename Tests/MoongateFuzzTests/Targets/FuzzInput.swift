@testable import Moongate

/// Takes an input apart; at its end everything is 0 or empty.
struct FuzzInput {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var place = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    var isAtEnd: Bool { place == bytes.count }

    mutating func byte() -> UInt8 {
        guard place < bytes.count else { return 0 }
        defer { place += 1 }
        return bytes[place]
    }

    /// As many bytes, or those that are left.
    mutating func take(_ count: Int) -> [UInt8] {
        let end = min(bytes.count, place + max(0, count))
        defer { place = end }
        return Array(bytes[place..<end])
    }

    /// A byte of length, and as many bytes.
    mutating func text() -> [UInt8] { take(Int(byte())) }

    mutating func rest() -> [UInt8] { take(bytes.count) }
}

extension UnsafeBufferPointer<UInt8> {
    /// The input as parsers get it.
    var view: Bytes { baseAddress.map { Bytes($0, count) } ?? .empty }
}

extension [UInt8] {
    /// Lends the bytes for the time of the call.
    func withView<Result>(_ body: (Bytes) throws -> Result) rethrows -> Result {
        try withUnsafeBufferPointer { try body($0.view) }
    }

    /// What `write` puts into so much room; `nil` from it is nothing. Memory ends with the room, so that AddressSanitizer
    /// finds one byte more.
    static func filled(_ room: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Int?) -> [UInt8] {
        guard room > 0 else {
            var nowhere: UInt8 = 0
            _ = write(&nowhere)
            return []
        }
        return [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            count = buffer.baseAddress.flatMap(write) ?? 0
        }
    }
}
