/// What an exchange asks of its streams. Asking a stream that is closed does nothing.
extension Handle where Record == StreamRecord {
    /// Calls `body` with the stream's connection; `nil` for a stream that is closed.
    @inline(__always) private func ask<Result>(_ body: (ConnectionIO) -> Result) -> Result? {
        guard let connection = self.connection else { return nil }
        return connection._withUnsafeGuaranteedRef { body(unsafeDowncast($0, to: ConnectionIO.self)) }
    }

    /// There is something to read again after `BodyRead.later`.
    @inline(__always) func resume() { _ = ask { $0.engine.resume(self) } }

    /// Sends body bytes at the end of this turn, as far as they may leave then, ahead of what `readBody` would give.
    /// - Returns: how many were taken.
    @inline(__always) func pass(_ bytes: Bytes) -> Int { ask { $0.engine.pass(self, bytes) } ?? 0 }

    /// Lets the peer send `count` more bytes: they have been passed on.
    @inline(__always) func consume(_ count: Int) { if count > 0 { _ = ask { $0.engine.consume(self, count) } } }

    /// Ends the stream at the end of the turn; what is queued of its body is dropped.
    func reset(_ end: StreamEnd) { _ = ask { $0.engine.reset(self, end) } }

    /// Passes a 1xx head on, unless it is larger than the client takes: it can do without.
    func submitInterim(_ headers: HeaderList) { _ = ask { $0.engine.submitInterim(self, headers) } }

    /// Answers a client.
    /// - Parameters:
    ///   - hasBody: the delegate will be asked for body bytes; otherwise the head ends the stream.
    ///   - isLeast: nothing can be left out of the head, and it leaves whatever the client says it takes.
    func submitResponse(_ headers: HeaderList, hasBody: Bool, isLeast: Bool = false) -> HeadSubmission {
        ask { $0.engine.submitResponse(self, headers, hasBody: hasBody, isLeast: isLeast) } ?? .sent
    }

    /// Ends our side with trailers.
    /// - Parameter isLeast: as in `submitResponse`.
    func submitTrailers(_ headers: HeaderList, isLeast: Bool = false) -> HeadSubmission {
        ask { $0.engine.submitTrailers(self, headers, isLeast: isLeast) } ?? .sent
    }

    /// Has the stream's connection take no more requests. Those that are under way are served.
    func drainConnection() { _ = ask { $0.drainIsWanted() } }

    // MARK: Accounts of the connection

    /// Whether the response may have so many octets more under way.
    func widen(_ octets: Int) -> Bool { ask { $0.widen(self, octets) } ?? false }

    /// Whether policies may keep so many octets more of the response; if not, `roomIsBack` tells when to ask again.
    func keep(_ octets: Int) -> Bool { ask { $0.keep(self, octets) } ?? false }

    /// So many octets of it are kept no more.
    func release(_ octets: Int) { _ = ask { $0.release(self, octets) } }

    /// Whether calls for its request may carry so many octets more, until `releaseCall` or the stream's end.
    func holdCall(_ octets: Int) -> Bool { ask { $0.holdCall(self, octets) } ?? true }

    func releaseCall(_ octets: Int) { _ = ask { $0.releaseCall(self, octets) } }
}
