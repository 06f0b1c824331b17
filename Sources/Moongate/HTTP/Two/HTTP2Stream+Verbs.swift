/// What an exchange asks of its streams. Asking a stream that is closed does nothing.
extension UnsafeMutablePointer where Pointee == HTTP2Stream {
    /// There is something to read again after `BodyRead.later`.
    @inline(__always) func resume() {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.resume(self) }
    }

    /// Sends body bytes at the end of this turn, as far as they may leave then, ahead of what `readBody` would give.
    /// - Returns: how many were taken.
    @inline(__always) func pass(_ bytes: Bytes) -> Int {
        guard let connection = pointee.connection else { return 0 }
        return connection._withUnsafeGuaranteedRef { $0.pass(self, bytes) }
    }

    /// Lets the peer send `count` more bytes: they have been passed on.
    @inline(__always) func consume(_ count: Int) {
        guard count > 0, let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.consume(self, count) }
    }

    /// Whether the response may have so many octets more under way.
    func widen(_ octets: Int) -> Bool {
        guard let connection = pointee.connection else { return false }
        return connection._withUnsafeGuaranteedRef { $0.widen(self, octets) }
    }

    /// Whether policies may keep so many octets more of the response; if not, `roomIsBack` tells when to ask again.
    func keep(_ octets: Int) -> Bool {
        guard let connection = pointee.connection else { return false }
        return connection._withUnsafeGuaranteedRef { $0.keep(self, octets) }
    }

    /// So many octets of it are kept no more.
    func release(_ octets: Int) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.release(self, octets) }
    }

    /// Whether calls for its request may carry so many octets more, until `releaseCall` or the stream's end.
    func holdCall(_ octets: Int) -> Bool {
        guard let connection = pointee.connection else { return true }
        return connection._withUnsafeGuaranteedRef { $0.holdCall(self, octets) }
    }

    func releaseCall(_ octets: Int) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.releaseCall(self, octets) }
    }

    /// Ends the stream at the end of the turn; what is queued of its body is dropped.
    func reset(_ code: ErrorCode) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { $0.reset(self, code) }
    }

    /// Passes a 1xx head on, unless it is larger than the client takes: it can do without.
    func submitInterim(_ headers: HeaderList) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { _ = $0.submitHead(headers, self, endsStream: false) }
    }

    /// Answers a client.
    /// - Parameter hasBody: the delegate will be asked for body bytes; otherwise the head ends the stream.
    func submitResponse(_ headers: HeaderList, hasBody: Bool) -> HeadSubmission {
        guard let connection = pointee.connection else { return .sent }
        return connection._withUnsafeGuaranteedRef { $0.submitResponse(self, headers, hasBody: hasBody) }
    }

    /// Ends our side with trailers.
    func submitTrailers(_ headers: HeaderList) -> HeadSubmission {
        guard let connection = pointee.connection else { return .sent }
        return connection._withUnsafeGuaranteedRef { $0.submitTrailers(self, headers) }
    }

    /// As `submitResponse`, with a head of which nothing can be left out.
    func submitLeastResponse(_ headers: HeaderList, hasBody: Bool) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { _ = $0.submitResponse(self, headers, hasBody: hasBody, isLeast: true) }
    }

    /// As `submitTrailers`, with trailers of which nothing can be left out.
    func submitLeastTrailers(_ headers: HeaderList) {
        guard let connection = pointee.connection else { return }
        connection._withUnsafeGuaranteedRef { _ = $0.submitTrailers(self, headers, isLeast: true) }
    }
}
