@testable import Moongate

/// Scripts of worlds by chance, the same for the same seed: steps that make sense, mostly.
struct FuzzScriptMaker {
    /// Kinds of steps, as `FuzzWorld` numbers them, with their share out of all.
    private static let shares: [(kind: UInt8, share: UInt64)] = [
        (7, 40), (8, 8), (9, 4), (0, 6), (1, 3), (2, 4), (3, 9), (4, 9), (5, 1), (6, 4), (10, 4), (11, 4), (12, 2),
        (13, 1),
        (14, 1), (15, 5), (raw, 3),
    ]
    /// A client does anything.
    private static let raw: UInt8 = 0xff

    private var random: FastRandom
    private var clients: UInt64 = 1

    init(seed: UInt64) { random = FastRandom(seed: StableHash.mix(seed &+ 1)) }

    mutating func script() -> [UInt8] {
        // Half of the servers begin with answers.
        var bytes = [0x80 | (below(2) == 0 ? 0 : byte() & 0x0f)]
        for _ in 0..<below(3) { connect(&bytes) }
        for _ in 0..<(8 + below(72)) { step(&bytes) }
        return bytes
    }

    private mutating func step(_ bytes: inout [UInt8]) {
        let kind = kind()
        guard kind != FuzzScriptMaker.raw else {
            bytes.append(client())
            return frame(&bytes)
        }
        guard kind != 0 else { return connect(&bytes) }
        bytes.append(0x80 | byte() & 0x30 | kind)
        switch kind {
        case 7:
            // Three of four calls end.
            let ends: UInt8 = below(4) == 0 ? 0 : 4
            let choice = byte() & 0xf8 | ends | client()
            bytes += [choice, byte()] + (choice & 8 != 0 ? [byte()] : [])
        case 8: bytes += [byte() & 0xfc | client(), byte()]
        case 10:
            bytes.append(0)
            frame(&bytes)
        case 1, 9, 12: bytes.append(byte() & 0xfc | client())
        default: bytes.append(byte())
        }
    }

    /// What `FuzzStep` reads: a frame of any type with a short payload, a head, or many frames.
    private mutating func frame(_ bytes: inout [UInt8]) {
        let stream = 2 * UInt8(below(6)) + 1
        switch below(8) {
        case 0, 1: bytes += [10, byte(), byte(), stream]
        case 2: bytes += [0xef, byte(), byte(), stream, 4, byte(), byte(), byte(), byte()]
        default: bytes += [UInt8(below(10)) | byte() & 16, byte(), stream, 4, 0, 0, byte() & 1, byte()]
        }
    }

    private mutating func connect(_ bytes: inout [UInt8]) {
        bytes += [0x90, byte()]
        clients = min(clients + 1, 4)
    }

    private mutating func client() -> UInt8 { UInt8(below(clients)) }

    private mutating func kind() -> UInt8 {
        var left = below(FuzzScriptMaker.shares.reduce(0) { $0 + $1.share })
        for (kind, share) in FuzzScriptMaker.shares {
            if left < share { return kind }
            left -= share
        }
        return 15
    }

    private mutating func below(_ bound: UInt64) -> UInt64 { StableHash.bucket(random.next(), of: bound) }

    private mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: random.next() >> 32) }
}
