import CNghttp2

/// What the exchange asks of a connection. Everything is queued and leaves at the end of the turn; asking a
/// connection that is closed does nothing.
extension HTTP2Connection {
    /// Opens a stream towards an upstream. `headers` must live until the stream is closed.
    /// - Parameter hasBody: the delegate will be asked for body bytes; otherwise the head ends the stream.
    /// - Returns: false when the connection takes no more streams.
    func submitRequest(
        _ headers: UnsafeMutablePointer<HeaderList>, hasBody: Bool, stream: HTTP2StreamPointer
    ) -> Bool {
        guard !isClosed, let session else { return false }
        let (pairs, count) = library.pairs(of: headers)
        let id: Int32
        if hasBody {
            var provider = HTTP2Connection.provider(stream)
            id = nghttp2_submit_request(session, nil, pairs, count, &provider, stream)
        } else {
            id = nghttp2_submit_request(session, nil, pairs, count, nil, stream)
        }
        guard id > 0 else { return false }
        attach(stream, id)
        needsFlush()
        return true
    }

    /// Answers a client. `headers` must live until the stream is closed.
    func submitResponse(
        _ stream: HTTP2StreamPointer, _ headers: UnsafeMutablePointer<HeaderList>, hasBody: Bool
    ) {
        guard !isClosed, let session else { return }
        let id = stream.pointee.id
        let (pairs, count) = library.pairs(of: headers)
        if hasBody {
            var provider = HTTP2Connection.provider(stream)
            nghttp2_submit_response(session, id, pairs, count, &provider)
        } else {
            nghttp2_submit_response(session, id, pairs, count, nil)
        }
        needsFlush()
    }

    /// Passes a 1xx head on. `headers` are copied.
    func submitInterim(_ id: Int32, _ headers: UnsafeMutablePointer<HeaderList>) {
        guard !isClosed, let session else { return }
        let (pairs, count) = library.pairs(of: headers, copied: true)
        nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, nil, pairs, count, nil)
        needsFlush()
    }

    /// Ends a stream's sending side with trailers. `headers` must live until the stream is closed.
    func submitTrailers(_ id: Int32, _ headers: UnsafeMutablePointer<HeaderList>) {
        guard !isClosed, let session else { return }
        let (pairs, count) = library.pairs(of: headers)
        nghttp2_submit_trailer(session, id, pairs, count)
        needsFlush()
    }

    /// There is something to read again after `BodyRead.later`.
    @inline(__always) func resume(_ id: Int32) {
        guard !isClosed, let session else { return }
        nghttp2_session_resume_data(session, id)
        needsFlush()
    }

    func reset(_ id: Int32, _ code: ErrorCode) {
        guard !isClosed, let session else { return }
        nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, code.rawValue)
        needsFlush()
    }

    /// Lets the peer send `count` more bytes on the stream: they have been passed on.
    @inline(__always) func consume(_ id: Int32, _ count: Int) {
        guard !isClosed, let session, count > 0 else { return }
        nghttp2_session_consume_stream(session, id, count)
        needsFlush()
    }

    /// The first half of a graceful end: no stream is refused yet (C4).
    func submitShutdownNotice() {
        guard !isClosed, let session else { return }
        nghttp2_submit_shutdown_notice(session)
        needsFlush()
    }

    /// `pingAcknowledged` tells when the peer has seen everything sent before.
    func submitPing() {
        guard !isClosed, let session else { return }
        nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
        needsFlush()
    }

    /// The second half: streams that were begun are served, new ones are not (C4).
    func submitGoAway(_ code: ErrorCode = .noError) {
        guard !isClosed, let session else { return }
        let last = nghttp2_session_get_last_proc_stream_id(session)
        nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, code.rawValue, nil, 0)
        needsFlush()
    }

    /// Streams that the peer lets us have open at a time; 100 until it says (C6).
    var peerStreamLimit: Int {
        guard let session else { return 0 }
        return Int(nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
    }

    private static func provider(_ stream: HTTP2StreamPointer) -> nghttp2_data_provider {
        nghttp2_data_provider(
            source: nghttp2_data_source(ptr: stream), read_callback: HTTP2Callbacks.readBody)
    }
}
