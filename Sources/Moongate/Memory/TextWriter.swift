import Glibc

/// Puts texts behind each other into memory that somebody else lends. What does not fit is left out.
struct TextWriter {
    private let buffer: UnsafeMutableBufferPointer<UInt8>
    private(set) var count = 0

    init(_ buffer: UnsafeMutableBufferPointer<UInt8>) { self.buffer = buffer }

    mutating func append(_ text: Bytes) {
        guard let base = buffer.baseAddress, text.count > 0, count + text.count <= buffer.count else { return }
        memcpy(base + count, text.base, text.count)
        count += text.count
    }

    /// What was written so far; valid as long as the memory.
    var bytes: Bytes { buffer.baseAddress.map { Bytes($0, count) } ?? .empty }
}
