/// Types of frames (RFC 9113 §6). Others are ignored (§4.1).
enum FrameType {
    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let priority: UInt8 = 2
    static let resetStream: UInt8 = 3
    static let settings: UInt8 = 4
    static let pushPromise: UInt8 = 5
    static let ping: UInt8 = 6
    static let goAway: UInt8 = 7
    static let windowUpdate: UInt8 = 8
    static let continuation: UInt8 = 9
}

/// Flags of frames; what a bit means depends on the type.
enum FrameFlag {
    /// DATA, HEADERS
    static let endStream: UInt8 = 0x1
    /// SETTINGS, PING
    static let acknowledgement: UInt8 = 0x1
    /// HEADERS, CONTINUATION
    static let endHeaders: UInt8 = 0x4
    /// DATA, HEADERS
    static let padded: UInt8 = 0x8
    /// HEADERS
    static let priority: UInt8 = 0x20
}

/// The nine octets before every frame's payload (RFC 9113 §4.1).
struct FrameHead {
    static let size = 9
    /// What we announce by saying nothing, and what every peer takes (RFC 9113 §4.2).
    static let maxPayload = 16 * 1024

    /// Octets of the payload, 0 to 2²⁴ − 1.
    var length: Int
    var type: UInt8
    var flags: UInt8
    /// 0: the connection. The reserved bit is gone.
    var stream: Int32

    @inline(__always) init(length: Int, type: UInt8, flags: UInt8 = 0, stream: Int32 = 0) {
        self.length = length
        self.type = type
        self.flags = flags
        self.stream = stream
    }

    /// `bytes` has at least `size` octets.
    @inline(__always) init(parsing bytes: UnsafePointer<UInt8>) {
        length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
        type = bytes[3]
        flags = bytes[4]
        stream = Int32(truncatingIfNeeded: bytes.bigEndian(at: 5) & 0x7fff_ffff)
    }

    @inline(__always) func has(_ flag: UInt8) -> Bool { flags & flag != 0 }

    /// `target` has room for `size` octets.
    @inline(__always) func write(to target: UnsafeMutablePointer<UInt8>) {
        target[0] = UInt8(truncatingIfNeeded: length >> 16)
        target[1] = UInt8(truncatingIfNeeded: length >> 8)
        target[2] = UInt8(truncatingIfNeeded: length)
        target[3] = type
        target[4] = flags
        target.store(UInt32(bitPattern: stream), at: 5)
    }
}

extension UnsafePointer<UInt8> {
    /// Four octets, the most significant first.
    @inline(__always) func bigEndian(at index: Int) -> UInt32 {
        UInt32(bigEndian: UnsafeRawPointer(self + index).loadUnaligned(as: UInt32.self))
    }
}

extension UnsafeMutablePointer<UInt8> {
    /// Four octets, the most significant first.
    @inline(__always) func store(_ value: UInt32, at index: Int) {
        UnsafeMutableRawPointer(self + index).storeBytes(of: value.bigEndian, as: UInt32.self)
    }
}
