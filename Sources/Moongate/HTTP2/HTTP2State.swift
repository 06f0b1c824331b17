/// What an engine knows of HTTP/2 on its connection: windows, settings, and how far it has read. Raw memory, as `ConnectionState`.
struct HTTP2State {
    /// Streams with something to send, or whose end is to be told, at the end of the turn; streams that could send if the kernel
    /// took bytes, or if the connection had a window.
    var queues = StreamQueues()
    var decoder: HeaderDecoder
    var encoder: HeaderEncoder

    // MARK: What we told the peer

    /// Streams that the peer may have open at a time.
    var streamLimit = Int.max
    /// Octets that each stream of the peer may have under way.
    var streamWindow: Int32 = 65535
    /// What a stream's window grows to with the first octets that are passed on.
    var largestStreamWindow: Int32 = 65535
    var window: Int32 = 65535
    /// Octets of the connection's window that the peer may still send.
    var receiveWindow: Int32 = 65535
    /// Octets that were received and are not announced yet.
    var consumed: Int32 = 0
    /// They are not announced for now: the peer's requests hold too much.
    var windowIsHeld = false
    /// How many further requests to the peer expect a response that is larger than its first window.
    var largeResponses = 0

    // MARK: What the peer told us

    var sendWindow: Int32 = 65535
    var peerStreamWindow: Int32 = 65535
    var peerMaxFrame = FrameHead.maxPayload
    /// 100 until the peer says (C6).
    var peerStreamLimit = 100
    var peerSentSettings = false
    /// The largest header section that may leave, as §6.5.2 counts it: any, unless the peer says otherwise. A server that has
    /// said nothing yet may be about to: until then it gets what all take.
    var peerHeadLimit = Int.max
    var peerIsLeaving = false
    /// The last stream that a GOAWAY of the peer has named; it may only become less (RFC 9113 §6.8).
    var peerLastStream = Int32.max

    // MARK: Streams

    /// The highest number that the peer has opened.
    var lastPeerStream: Int32 = 0
    /// The next number of ours.
    var nextStream: Int32 = 1
    /// The last one of ours whose head has left; the heads of higher ones still wait among the output.
    var lastSentStream: Int32 = 0
    /// Higher ones of the peer are not served: we said GOAWAY.
    var lastServedStream = Int32.max
    var weAreLeaving = false
    var resets = ResetStreams()

    // MARK: Reading

    /// What was handled so far, for whoever shares the loop's time out: a frame is 1, one that begins a header section 8
    /// and more if it is long.
    var handled: UInt64 = 0
    /// Octets of the client's preface that have not come.
    var prefaceLeft = 0
    /// The beginning of a frame whose rest has not come.
    var partial = PendingBytes()
    var data = DataProgress()
    var section = SectionProgress()
    /// Answers to PING and SETTINGS since the kernel has ceased to take any.
    var answers = 0

    /// The DATA frame that is being received.
    struct DataProgress {
        /// Octets of the payload that have not come, padding included.
        var left = 0
        /// Octets of them that are padding.
        var padding = 0
        var lacksPadLength = false
        var endsStream = false
        /// `nil`: nobody wants it.
        var stream: Stream?
    }

    /// The header section that is being received.
    struct SectionProgress {
        /// CONTINUATION has to follow for this stream; 0: none.
        var awaited: Int32 = 0
        /// What has come of the block, if it has more than one frame.
        var block = PendingBytes()
        var continuations = 0
        var stream: Stream?
        var kind = StreamDelegate.Section.request
        var check = MessageCheck(.request)
        /// Where fields go; `nil`: they are decoded and dropped.
        var target: HeaderList?
        var size = 0
        var endsStream = false
    }

    /// Octets of a head that every server takes; gRPC's for Java says 8 KiB, and ends connections for more.
    static let smallHead = 8 * 1024

    init(_ shared: HTTP2SharedState) {
        decoder = HeaderDecoder(shared.compression)
        encoder = HeaderEncoder(shared.compression)
    }

    mutating func destroy() {
        decoder.free()
        encoder.free()
        partial.clear()
        section.block.clear()
    }
}

/// Streams that we have reset before the peer ended them: frames that were under way for them are no fault
/// (RFC 9113 §5.4.2), as far as their windows allowed them.
struct ResetStreams {
    private static let limit = 256

    private var ids: [Int32] = []
    private var oldest = 0
    /// More were reset than are remembered: no late frame is held against the peer any more.
    private(set) var isLenient = false
    /// Octets of DATA that may still come for all of them.
    private var lateOctets = 0

    /// - Parameter window: octets that the peer may have under way on the stream.
    mutating func insert(_ id: Int32, window: Int32) {
        lateOctets += Int(max(0, window))
        if ids.count < ResetStreams.limit { return ids.append(id) }
        isLenient = true
        ids[oldest] = id
        oldest = (oldest + 1) % ResetStreams.limit
    }

    func contains(_ id: Int32) -> Bool { isLenient || ids.contains(id) }

    /// DATA has come for one of them; false: more than their windows allowed.
    mutating func take(_ octets: Int) -> Bool {
        lateOctets -= octets
        return lateOctets >= 0
    }

    /// The peer has ended it.
    mutating func remove(_ id: Int32) {
        guard !isLenient, let index = ids.firstIndex(of: id) else { return }
        ids.remove(at: index)
    }
}

extension Handle where Record == HTTP2State {
    // Said here again: the compiler does not always see through the key paths that stand for them.
    @inline(__always) var queues: StreamQueues {
        get { pointer.pointee.queues }
        nonmutating _modify { yield &pointer.pointee.queues }
    }

    @inline(__always) var section: HTTP2State.SectionProgress {
        get { pointer.pointee.section }
        nonmutating _modify { yield &pointer.pointee.section }
    }

    @inline(__always) var data: HTTP2State.DataProgress {
        get { pointer.pointee.data }
        nonmutating _modify { yield &pointer.pointee.data }
    }

    @inline(__always) var encoder: HeaderEncoder {
        get { pointer.pointee.encoder }
        nonmutating _modify { yield &pointer.pointee.encoder }
    }

    @inline(__always) var decoder: HeaderDecoder {
        get { pointer.pointee.decoder }
        nonmutating _modify { yield &pointer.pointee.decoder }
    }

    @inline(__always) var resets: ResetStreams {
        get { pointer.pointee.resets }
        nonmutating _modify { yield &pointer.pointee.resets }
    }
}
