import CNghttp2

/// A share of one of nghttp2's reference-counted header buffers: the bytes stay while the share is held.
///
/// A trivial value: whoever stores it calls `retain` and `release` itself. Counts are not atomic, so shares
/// never leave the thread of their session, and they may outlive the session but not the thread's allocator.
struct SharedBytes {
    fileprivate var buffer: OpaquePointer

    @inline(__always) init(_ buffer: OpaquePointer) { self.buffer = buffer }

    @inline(__always) var bytes: Bytes {
        let view = nghttp2_rcbuf_get_buf(buffer)
        return Bytes(view.base, view.len)
    }

    @inline(__always) func retain() { nghttp2_rcbuf_incref(buffer) }
    @inline(__always) func release() { nghttp2_rcbuf_decref(buffer) }
}
