/// A hash that is the same in every process, on every machine and in every release: sticky choices stay where they
/// are over restarts and between replicas. Not for secrets: anybody can compute it.
///
/// FNV-1a with 64 bits (offset basis 0xcbf29ce484222325, prime 0x100000001b3) over the bytes, its result mixed by
/// MurmurHash3's `fmix64`, because FNV alone leaves the high bits of short inputs almost alike.
enum StableHash {
    /// - Parameter seed: mixed into the offset basis: different seeds make independent choices for the same bytes.
    static func hash(_ bytes: Bytes, seed: UInt64 = 0) -> UInt64 {
        var hash = 0xcbf2_9ce4_8422_2325 ^ mix(seed)
        for byte in bytes.buffer { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return mix(hash)
    }

    /// A number in `0..<count`, every one as likely, from the hash's high bits. `count` must not be 0.
    static func bucket(_ hash: UInt64, of count: UInt64) -> UInt64 {
        hash.multipliedFullWidth(by: count).high
    }

    /// A number in `0..<1`, with 53 bits.
    static func fraction(_ hash: UInt64) -> Double { Double(hash >> 11) * 0x1p-53 }

    /// A permutation of all numbers whose every bit depends on every bit of `value`; keeps 0 at 0.
    static func mix(_ value: UInt64) -> UInt64 {
        var value = value
        value ^= value >> 33
        value &*= 0xff51_afd7_ed55_8ccd
        value ^= value >> 33
        value &*= 0xc4ce_b9fe_1a85_ec53
        return value ^ (value >> 33)
    }
}
