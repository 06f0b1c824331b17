import CNghttp2

/// nghttp2's callbacks: each unwraps the connection, calls one method of it and maps the result.
enum HTTP2Callbacks {
    /// A new callback table; `nil` when there is no memory.
    static func make() -> OpaquePointer? {
        var callbacks: OpaquePointer?
        guard nghttp2_session_callbacks_new(&callbacks) == 0, let callbacks else { return nil }
        setFrameCallbacks(callbacks)
        setHeaderCallbacks(callbacks)
        return callbacks
    }

    private static func setFrameCallbacks(_ callbacks: OpaquePointer) {
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, owner in
            guard let frame, let owner else { return 0 }
            withConnection(owner) { $0.frameReceived(frame.pointee) }
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { session, _, id, data, length, owner in
            guard let session, let data, let owner else { return 0 }
            withConnection(owner) { $0.dataReceived(session, id, Bytes(data, length)) }
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { session, id, code, owner in
            guard let session, let owner else { return 0 }
            withConnection(owner) { $0.streamClosed(session, id, ErrorCode(rawValue: code)) }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { session, frame, owner in
            guard let session, let frame, let owner else { return 0 }
            withConnection(owner) { $0.frameSent(session, frame) }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, code, owner in
            guard let frame, let owner else { return 0 }
            withConnection(owner) { $0.frameNotSent(frame.pointee, code) }
            return 0
        }
    }

    private static func setHeaderCallbacks(_ callbacks: OpaquePointer) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { session, frame, owner in
            guard let session, let frame, let owner else { return 0 }
            withConnection(owner) { $0.headersBegan(session, frame.pointee) }
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback2(callbacks) { _, _, name, value, flags, owner in
            guard let name, let value, let owner else { return 0 }
            let neverIndexed = flags & UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue) != 0
            withConnection(owner) {
                $0.headerReceived(SharedBytes(name), SharedBytes(value), neverIndexed: neverIndexed)
            }
            return 0
        }
        // A field with characters that RFC 9113 §8.2.1 forbids makes the message malformed; by default nghttp2
        // would drop the field and go on.
        nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks) { _, _, _, _, _, _ in
            Int32(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
        }
    }

    /// Reads a body for sending; the data source carries the stream.
    static let readBody: nghttp2_data_source_read_callback = { _, _, target, limit, flags, source, _ in
        guard let target, let flags, let stream = source?.pointee.ptr else {
            return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
        }
        let reader = stream.assumingMemoryBound(to: HTTP2Stream.self)
        switch reader.pointee.report({ $0.readBody($1, into: target, limit: limit) }) {
        case .bytes(let count):
            return count
        case .last(let count):
            flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            return count
        case .lastBeforeTrailers(let count):
            flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            return count
        case .later:
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        case .failed, nil:
            return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
        }
    }
}

@inline(__always)
private func withConnection<Result>(
    _ owner: UnsafeMutableRawPointer, _ body: (HTTP2Connection) -> Result
) -> Result {
    Unmanaged<HTTP2Connection>.fromOpaque(owner)._withUnsafeGuaranteedRef(body)
}
