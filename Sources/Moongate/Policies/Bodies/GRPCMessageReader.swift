/// Takes gRPC messages out of the pieces of a body, however those are cut. Part of a stage.
///
/// Every byte is copied once, or not at all where a piece is one message; nothing is moved within a piece, so that many
/// tiny messages in one piece cost no more than their number.
struct GRPCMessageReader {
    enum Step {
        /// A whole message with its prefix.
        case message(PolicyBuffer)
        /// The next message is not complete.
        case incomplete
        /// The next message has more bytes than the limit.
        case tooLarge
    }

    /// Flag and length in front of a message.
    static let prefix = 5

    /// Bytes that a message may have, prefix left out.
    let limit: Int
    /// The piece that is being read, and how far it has been.
    private var piece: PolicyBuffer?
    private var offset = 0
    /// What is there of the next message.
    private var begun: PolicyBuffer?

    init(limit: Int) { self.limit = limit }

    /// Bytes of the piece that no message has yet.
    var unread: Int { (piece?.count ?? 0) - offset }
    /// Some of a message is there, not all.
    var isWithinMessage: Bool { begun != nil }
    /// Bytes of that message.
    var gathered: Int { begun?.count ?? 0 }
    var isEmpty: Bool { begun == nil && piece == nil }

    /// The next message of what has come.
    mutating func next(_ input: inout PolicyChunks) -> Step {
        while true {
            guard let piece = self.piece ?? input.removeFirst() else { return .incomplete }
            self.piece = piece
            if begun == nil && offset == 0 && isMessage(piece) {
                self.piece = nil
                return .message(piece)
            }
            if let step = take(piece) { return step }
        }
    }

    /// Whether a piece is one message. One over the limit is left to `take`.
    private func isMessage(_ piece: PolicyBuffer) -> Bool {
        guard let length = piece.messageLength else { return false }
        return length <= limit && length == piece.count - GRPCMessageReader.prefix
    }

    /// Goes on with a piece up to the end of a message or its own.
    private mutating func take(_ piece: PolicyBuffer) -> Step? {
        let message = begun ?? PolicyBuffer()
        move(GRPCMessageReader.prefix - message.count, from: piece, to: message)
        var step: Step?
        if let length = message.messageLength {
            guard length <= limit else { return .tooLarge }
            move(GRPCMessageReader.prefix + length - message.count, from: piece, to: message)
            if message.count == GRPCMessageReader.prefix + length { step = .message(message) }
        }
        begun = step == nil && message.count > 0 ? message : nil
        if offset == piece.count {
            self.piece = nil
            offset = 0
        }
        return step
    }

    private mutating func move(_ wanted: Int, from piece: PolicyBuffer, to message: PolicyBuffer) {
        let size = min(max(0, wanted), piece.count - offset)
        message.append(piece.bytes[offset..<offset + size])
        offset += size
    }

    /// Gives up what it holds: bytes that go on as they came, in front of the rest of the input.
    mutating func giveUp(_ body: (Bytes) -> Void) {
        if let begun { body(begun.bytes) }
        if let piece { body(piece.bytes[offset..<piece.count]) }
        begun = nil
        piece = nil
        offset = 0
    }
}

/// A gRPC message: prefix and payload.
extension PolicyBuffer {
    /// What the prefix says; `nil`: there is no whole prefix.
    var messageLength: Int? {
        guard count >= GRPCMessageReader.prefix else { return nil }
        return (1..<GRPCMessageReader.prefix).reduce(0) { $0 << 8 | Int(bytes[$1]) }
    }

    /// The message without its prefix; empty once it was dropped.
    var payload: Bytes {
        count < GRPCMessageReader.prefix ? .empty : bytes[GRPCMessageReader.prefix..<count]
    }

    /// The flag in front of the message.
    var isCompressed: Bool { count > 0 && bytes[0] & 1 == 1 }

    /// Puts another message in the place of this one, not compressed.
    func setMessage(_ payload: Bytes) {
        let length = UInt32(clamping: payload.count)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: GRPCMessageReader.prefix) { prefix in
            prefix[0] = 0
            for index in 1..<GRPCMessageReader.prefix {
                prefix[index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * (GRPCMessageReader.prefix - 1 - index)))
            }
            guard let base = prefix.baseAddress else { return }
            replace(by: Bytes(UnsafePointer(base), GRPCMessageReader.prefix))
        }
        append(payload)
    }
}
