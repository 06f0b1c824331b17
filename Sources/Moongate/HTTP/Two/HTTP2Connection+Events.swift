import CNghttp2

/// What nghttp2 reports, called by `HTTP2Callbacks`.
extension HTTP2Connection {
    func headersBegan(_ session: OpaquePointer, _ frame: nghttp2_frame) {
        let id = frame.hd.stream_id
        sectionSize = 0
        sectionTarget = nil
        if frame.headers.cat == NGHTTP2_HCAT_REQUEST {
            guard streams.count < streamLimit, let acceptor, let stream = acceptor.streamOpened(self) else {
                reset(id, .refusedStream)
                return
            }
            stream.pointee.delegate = Unmanaged.passUnretained(acceptor)
            attach(stream, id)
            streamBegan()
            nghttp2_session_set_stream_user_data(session, id, stream)
            sectionTarget = stream.pointee.report { $0.sectionBegan($1, .request) } ?? nil
            return
        }
        let section = section(frame)
        sectionTarget = stream(session, id)?.pointee.report { $0.sectionBegan($1, section) } ?? nil
    }

    @inline(__always) func headerReceived(_ name: SharedBytes, _ value: SharedBytes, neverIndexed: Bool) {
        guard let sectionTarget else { return }
        sectionSize += name.bytes.count + value.bytes.count + 32
        guard sectionSize <= maxHeaderBytes else { return }
        sectionTarget.pointee.append(name: name, value: value, neverIndexed: neverIndexed)
    }

    @inline(__always) func dataReceived(_ session: OpaquePointer, _ id: Int32, _ bytes: Bytes) {
        // On receipt, so that one slow stream never holds the window that all of them share (F1).
        nghttp2_session_consume_connection(session, bytes.count)
        _ = stream(session, id)?.pointee.report { $0.dataReceived($1, bytes) }
    }

    func frameReceived(_ frame: nghttp2_frame) {
        guard let session else { return }
        switch UInt32(frame.hd.type) {
        case NGHTTP2_DATA.rawValue:
            guard frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return }
            _ = stream(session, frame.hd.stream_id)?.pointee.report { $0.dataEnded($1) }
        case NGHTTP2_HEADERS.rawValue:
            sectionTarget = nil
            let endsStream = frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
            let section = section(frame)
            let tooLarge = sectionSize > maxHeaderBytes
            _ = stream(session, frame.hd.stream_id)?.pointee.report {
                $0.sectionEnded($1, section, endsStream: endsStream, tooLarge: tooLarge)
            }
        case NGHTTP2_RST_STREAM.rawValue:
            resetReceived()
        case NGHTTP2_SETTINGS.rawValue:
            if frame.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 { settingsReceived() }
        case NGHTTP2_GOAWAY.rawValue:
            goAwayReceived()
        case NGHTTP2_PING.rawValue:
            if frame.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 { pingAcknowledged() }
        default:
            break
        }
    }

    func streamClosed(_ session: OpaquePointer, _ id: Int32, _ code: ErrorCode) {
        guard let stream = stream(session, id) else { return }
        detach(stream)
        streamEnded(code)
        _ = stream.pointee.report { $0.streamClosed($1, code, nil) }
    }

    @inline(__always)
    private func stream(_ session: OpaquePointer, _ id: Int32) -> HTTP2StreamPointer? {
        nghttp2_session_get_stream_user_data(session, id)?.assumingMemoryBound(to: HTTP2Stream.self)
    }

    @inline(__always) func frameSent(_ session: OpaquePointer, _ frame: UnsafePointer<nghttp2_frame>) {
        let type = UInt32(frame.pointee.hd.type)
        guard frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0,
            type == NGHTTP2_HEADERS.rawValue || type == NGHTTP2_DATA.rawValue
        else { return }
        _ = stream(session, frame.pointee.hd.stream_id)?.pointee.report { $0.endSent($1) }
    }

    /// A head or trailer that nghttp2 would not send leaves its stream open; end it, the fault is ours.
    func frameNotSent(_ frame: nghttp2_frame, _ code: Int32) {
        guard UInt32(frame.hd.type) == NGHTTP2_HEADERS.rawValue,
            code == NGHTTP2_ERR_HEADER_COMP.rawValue || code == NGHTTP2_ERR_FRAME_SIZE_ERROR.rawValue
        else { return }
        reset(frame.hd.stream_id, .internalError)
    }

    private func section(_ frame: nghttp2_frame) -> StreamDelegate.Section {
        switch frame.headers.cat {
        case NGHTTP2_HCAT_REQUEST: return .request
        case NGHTTP2_HCAT_RESPONSE, NGHTTP2_HCAT_PUSH_RESPONSE: return .response
        default: return .further
        }
    }
}
