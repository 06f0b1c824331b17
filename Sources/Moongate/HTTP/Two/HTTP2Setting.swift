/// The settings of ours that we announce (RFC 9113 §6.5.2).
enum HTTP2Setting: Int32 {
    case headerTableSize = 1
    case enablePush = 2
    case maxConcurrentStreams = 3
    case initialWindowSize = 4
    case maxFrameSize = 5
    case maxHeaderListSize = 6

    /// Writes another value for a setting into a serialised SETTINGS frame: a head of nine octets, then entries of a
    /// two-octet identifier and a four-octet value.
    static func replace(_ setting: HTTP2Setting, by value: UInt32, in frame: inout [UInt8]) {
        var position = 9
        while position + 6 <= frame.count {
            if frame[position] == 0 && Int32(frame[position + 1]) == setting.rawValue {
                for octet in 0..<4 {
                    frame[position + 2 + octet] = UInt8(truncatingIfNeeded: value >> (24 - 8 * octet))
                }
            }
            position += 6
        }
    }
}
