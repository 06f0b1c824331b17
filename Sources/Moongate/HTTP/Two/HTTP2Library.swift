import CMoongate
import CNghttp2
import Glibc

/// What all nghttp2 sessions of one worker share: callbacks, options, memory and scratch space.
final class HTTP2Library {
    enum Side {
        /// Towards clients.
        case server
        /// Towards upstreams.
        case client
    }

    private let callbacks: OpaquePointer
    private let serverOptions: OpaquePointer
    private let clientOptions: OpaquePointer
    /// Where the sessions get their memory.
    private let slab: OpaquePointer
    private var memory: nghttp2_mem
    /// Grows to the longest header list seen.
    private var pairs: UnsafeMutablePointer<nghttp2_nv>
    private var pairCapacity = 64

    /// - Throws: `SystemError` when there is no memory.
    init() throws(SystemError) {
        guard let slab = mg_slab_open(), let callbacks = HTTP2Callbacks.make(),
            let serverOptions = HTTP2Library.options(), let clientOptions = HTTP2Library.options()
        else { throw SystemError("nghttp2", code: ENOMEM) }
        self.slab = slab
        memory = nghttp2_mem(
            mem_user_data: UnsafeMutableRawPointer(slab), malloc: mg_slab_malloc, free: mg_slab_free,
            calloc: mg_slab_calloc, realloc: mg_slab_realloc)
        self.callbacks = callbacks
        self.serverOptions = serverOptions
        self.clientOptions = clientOptions
        // Our own budget per connection takes the place of nghttp2's fixed rate, which ends busy connections.
        nghttp2_option_set_stream_reset_rate_limit(serverOptions, 1 << 40, 1 << 40)
        pairs = .allocate(capacity: pairCapacity)
    }

    deinit {
        nghttp2_session_callbacks_del(callbacks)
        nghttp2_option_del(serverOptions)
        nghttp2_option_del(clientOptions)
        pairs.deallocate()
        mg_slab_close(slab)
    }

    /// A new session whose callbacks get `owner`; `nil` when there is no memory.
    func makeSession(_ side: Side, owner: UnsafeMutableRawPointer) -> OpaquePointer? {
        var session: OpaquePointer?
        let result =
            side == .server
            ? nghttp2_session_server_new3(&session, callbacks, owner, serverOptions, &memory)
            : nghttp2_session_client_new3(&session, callbacks, owner, clientOptions, &memory)
        return result == 0 ? session : nil
    }

    /// The list in nghttp2's form, valid until the next call. Unless `copied`, nghttp2 will read the bytes where
    /// they are: the list must live until the frame was sent or its stream is closed.
    func pairs(
        of headers: UnsafeMutablePointer<HeaderList>, copied: Bool = false
    ) -> (UnsafeMutablePointer<nghttp2_nv>, Int) {
        let count = headers.pointee.count
        if count > pairCapacity {
            pairs.deallocate()
            pairCapacity = count * 2
            pairs = .allocate(capacity: pairCapacity)
        }
        for index in 0..<count {
            let field = headers.pointee[index]
            var flags =
                copied ? 0 : UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
            if field.neverIndexed || field.id.isNeverIndexed { flags |= UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue) }
            (pairs + index).initialize(
                to: nghttp2_nv(
                    name: UnsafeMutablePointer(mutating: field.name.base),
                    value: UnsafeMutablePointer(mutating: field.value.base),
                    namelen: field.name.count, valuelen: field.value.count, flags: flags))
        }
        return (pairs, count)
    }

    private static func options() -> OpaquePointer? {
        var options: OpaquePointer?
        guard nghttp2_option_new(&options) == 0, let options else { return nil }
        // Windows open as the other side drains (F1).
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_option_set_no_closed_streams(options, 1)
        // The default of 64 KiB turns a large trailer into REFUSED_STREAM; what we accepted we also send (R7).
        nghttp2_option_set_max_send_header_block_length(options, 1 << 20)
        // What counts is the size of the headers, not into how many frames a client cuts them (F5).
        nghttp2_option_set_max_continuations(options, 128)
        return options
    }
}

extension FieldName {
    /// Values that differ with every request would only wear out the compression table, and credentials must not
    /// enter a table that clients share upstream (RFC 7541 §7.1).
    @inline(__always) var isNeverIndexed: Bool {
        switch self {
        case .grpcTimeout, .grpcMessage, .xRequestID, .contentLength, .authorization, .cookie: return true
        default: return false
        }
    }
}
