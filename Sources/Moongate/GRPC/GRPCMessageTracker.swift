/// Follows the length-prefixed messages of one direction of a stream through DATA of any cut, without keeping
/// a byte of them: five bytes of prefix (flag, length), then the message.
struct GRPCMessageTracker {
    /// Messages that have ended.
    private(set) var messages: UInt64 = 0
    /// Bytes of the prefix seen so far, 0 to 4; meaningless inside a message.
    private var prefixBytes: UInt8 = 0
    /// The length as far as it is known; inside a message what is still to come of it.
    private var remaining: UInt32 = 0
    private var isInsideMessage = false

    /// Whether trailers may follow here without cutting a message.
    @inline(__always) var isAtBoundary: Bool { !isInsideMessage && prefixBytes == 0 }

    /// Takes the next bytes of the stream. Costs per message and call, not per byte.
    mutating func consume(_ bytes: Bytes) {
        var position = 0
        while position < bytes.count {
            if isInsideMessage {
                let step = min(Int(remaining), bytes.count - position)
                position += step
                remaining -= UInt32(step)
                if remaining == 0 { endMessage() }
            } else {
                // The first byte is the compression flag, of no interest here.
                if prefixBytes > 0 { remaining = remaining << 8 | UInt32(bytes[position]) }
                prefixBytes += 1
                position += 1
                if prefixBytes == 5 { beginMessage() }
            }
        }
    }

    private mutating func beginMessage() {
        isInsideMessage = true
        if remaining == 0 { endMessage() }
    }

    private mutating func endMessage() {
        isInsideMessage = false
        prefixBytes = 0
        remaining = 0
        messages += 1
    }
}
