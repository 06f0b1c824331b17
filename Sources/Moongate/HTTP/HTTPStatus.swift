/// The three digits of `:status` (RFC 9110 §15).
enum HTTPStatus {
    /// 0 for anything but three digits.
    static func parse(_ value: Bytes) -> Int {
        guard value.count == 3 else { return 0 }
        var status = 0
        for index in 0..<3 {
            guard value[index] &- 48 < 10 else { return 0 }
            status = status * 10 + Int(value[index] - 48)
        }
        return status
    }
}
