/// The three digits of `:status` (RFC 9110 §15).
enum HTTPStatus {
    /// 0 for anything but three digits from 100 to 599 (RFC 9110 §15: others are invalid).
    static func parse(_ value: Bytes) -> Int {
        guard value.count == 3 else { return 0 }
        var status = 0
        for index in 0..<3 {
            guard value[index] &- 48 < 10 else { return 0 }
            status = status * 10 + Int(value[index] - 48)
        }
        return status >= 100 && status <= 599 ? status : 0
    }

    /// Whether no response with this status has content, whatever its fields say (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
    static func excludesContent(_ status: Int) -> Bool { status == 204 || status == 205 || status == 304 }
}
