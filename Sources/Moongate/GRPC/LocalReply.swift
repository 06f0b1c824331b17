/// Writes the head of an answer that the proxy gives itself, before any other response has begun.
enum LocalReply {
    /// Bytes of a message that are sent as `grpc-message`. Clients take 8 KiB of metadata in all, and the
    /// encoding makes up to three bytes of one.
    static let messageLimit = 2048

    /// Makes `headers` the answer to one request.
    ///
    /// To a gRPC caller everything is in the one header section, which has to leave with END_STREAM (200, the
    /// status, the message percent-encoded). Others get `httpStatus` and the message as a text body, which the
    /// caller of this function sends; `content-length` is set for it.
    ///
    /// - Parameters:
    ///   - headers: emptied first.
    ///   - httpStatus: 200 to 599; only for callers that do not speak gRPC.
    ///   - message: for people, UTF-8; may be empty.
    ///   - requestType: the request's `content-type`, which decides the kind of answer. Must not point into
    ///     `headers`.
    /// - Returns: whether the answer is a gRPC one, so that no body follows.
    @discardableResult
    static func fill(
        _ headers: HeaderList, status: GRPCStatus, httpStatus: Int, message: Bytes, requestType: Bytes?
    ) -> Bool {
        headers.reset()
        guard let requestType, GRPCContentType.isGRPC(requestType) else {
            fillPlain(headers, httpStatus, message)
            return false
        }
        headers.add(":status", "200")
        headers.add("content-type", GRPCContentType.answering(requestType))
        headers.add("grpc-status", status.code)
        if !message.isEmpty { addMessage(message, to: headers) }
        return true
    }

    /// Appends `grpc-status` and `grpc-message`: trailers behind a response that had already begun, at a message
    /// boundary. Empties nothing.
    static func appendTrailers(to trailers: HeaderList, status: GRPCStatus, message: Bytes) {
        trailers.add("grpc-status", status.code)
        if !message.isEmpty { addMessage(message, to: trailers) }
    }

    /// Appends `message`, cut to `messageLimit` and percent-encoded, as `grpc-message`.
    static func addMessage(_ message: Bytes, to headers: HeaderList) {
        let message = GRPCMessageText.cut(message, to: messageLimit)
        let count = GRPCMessageText.encodedCount(message)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: count) { buffer in
            guard let base = buffer.baseAddress else { return }
            GRPCMessageText.encode(message, to: base)
            headers.add("grpc-message", Bytes(base, count))
        }
    }

    private static func fillPlain(_ headers: HeaderList, _ status: Int, _ message: Bytes) {
        addNumber(":status", status, to: headers)
        if !message.isEmpty { headers.add("content-type", "text/plain; charset=utf-8") }
        // RFC 9110 §8.6: not in a 204.
        if status != 204 { addNumber("content-length", message.count, to: headers) }
    }

    private static func addNumber(_ name: StaticString, _ number: Int, to headers: HeaderList) {
        // 20 digits hold any Int; written from the back.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { buffer in
            guard let base = buffer.baseAddress else { return }
            var start = 20
            var rest = max(0, number)
            repeat {
                start -= 1
                base[start] = 48 + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            headers.add(name, Bytes(base + start, 20 - start))
        }
    }
}
