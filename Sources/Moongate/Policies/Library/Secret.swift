import Glibc

/// Bytes that are wiped when the last holder lets go of them.
final class Secret: Sendable {
    private let storage: Locked<[UInt8]>

    init(_ bytes: Bytes) {
        storage = Locked(Array(bytes.buffer))
    }

    deinit {
        storage.withLock { bytes in bytes.withUnsafeMutableBytes { $0.wipe() } }
    }

    /// Lends the bytes; a copy that is made of them is not wiped.
    func withBytes<Result>(_ body: (borrowing [UInt8]) -> Result) -> Result {
        storage.withLock { body($0) }
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Zeroes the bytes, even if nobody reads them again.
    func wipe() {
        if let baseAddress { explicit_bzero(baseAddress, count) }
    }
}
