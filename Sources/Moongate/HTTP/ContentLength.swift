/// `content-length` (RFC 9110 §8.6).
enum ContentLength {
    /// One number of up to 18 digits. A list of equal ones could be taken for one, but nobody sends that in good faith.
    @inline(__always) static func parse(_ value: Bytes) -> Int64? {
        guard value.count > 0, value.count <= 18 else { return nil }
        var length: Int64 = 0
        for index in 0..<value.count {
            guard value[index] &- 48 < 10 else { return nil }
            length = length * 10 + Int64(value[index] - 48)
        }
        return length
    }
}
