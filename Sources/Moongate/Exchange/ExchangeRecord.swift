/// One request with its response: everything that is known of it, in one pooled record.
///
/// Made once and used for many exchanges: buffers stay, `ExchangeHost.recycle` empties them. What is no buffer is `state`. All fields are
/// trivial or own raw memory, so that nothing on the way of a request is retained or released.
struct ExchangeRecord {
    // MARK: The two sides

    var downstreamRecord = StreamRecord()
    /// Of the exchange's own attempts.
    var upstreamRecord = StreamRecord()
    var hostReference: Unmanaged<ExchangeHost>?

    // MARK: The messages

    var request = HeaderList()
    var requestTrailers = HeaderList()
    var requestBody = ByteQueue()
    var response = HeaderList()
    var responseTrailers = HeaderList()
    var responseBody = ByteQueue()

    // MARK: Timers

    /// The deadline.
    var timer = Timer()
    /// The limit of the attempt under way, or the pause before the next one.
    var attemptTimer = Timer()
    /// Looks for silence.
    var idleTimer = Timer()

    var state = ExchangeState()
}

/// What is known of one exchange beyond its messages. Made anew for each, so that nothing of one client's call is left in the next one.
struct ExchangeState {
    /// The client's connection; outlives the downstream stream only for facts, by a share of its own.
    var factsReference: Unmanaged<ConnectionFacts>?
    var generationReference: Unmanaged<WorkerGeneration>?

    // MARK: The request

    /// Bytes of `requestBody` that the account of all copies was charged with; see `releaseKept`.
    var kept = 0
    /// The client has ended its side.
    var clientEnded = false
    /// `requestBody` is complete: the client's word, unless policies hold the end back.
    var requestEnded = false
    var isGRPC = false
    /// The peer is one of the proxies that are believed.
    var trustsPeer = false
    /// The client as a trusted proxy in front names it; to be read by `clientAddress`.
    var namedClient: ClientAddress?
    /// The state of the path after canonicalization.
    var path = CanonicalPath()
    /// As they were before the route's rewrite, where it has one; else empty.
    var originalPath = Bytes.empty
    var originalAuthority = Bytes.empty
    var requestMessages = GRPCMessageTracker()

    // MARK: The response

    /// The final head is complete (from the upstream, or made here).
    var responseHeadKnown = false
    /// The head was handed to the client's connection.
    var responseHeadSent = false
    /// The upstream has ended its side.
    var upstreamEnded = false
    /// The body is complete, trailers included: the upstream's word or ours.
    var responseEnded = false
    var responseTrailersSubmitted = false
    /// The response was sent to its end.
    var responseSent = false
    /// The response is gRPC's: `content-type: application/grpc…`.
    var responseIsGRPC = false
    var responseMessages = GRPCMessageTracker()
    /// A status is made of the response's text, which is still to come.
    var convertsErrorPage = false
    /// Reset the client's stream with `NO_ERROR` once the response is sent (X4).
    var resetsAfterResponse = false

    // MARK: The way

    var phase = ExchangePhase.receivingHead
    /// Index of the route in the generation, -1 for none.
    var route = -1
    /// What the route changes; kept by the generation.
    var edits: Unmanaged<RouteEdits>?
    /// Index of the upstream in the generation, -1 for none.
    var upstreamIndex = -1
    /// Where the request was sent last; retained.
    var endpointReference: Unmanaged<Endpoint>?
    /// How often an endpoint was looked for.
    var lookups: UInt8 = 0
    var attempt = AttemptState()
    /// Attempts beside the first one; `nil`: there were none.
    var hedges: Hedges?
    /// The stream of the one that gave the answer; `nil`: it is `upstream`.
    var takenStream: Stream?
    /// The route has mirrors, and the request has not been sent.
    var wantsMirrors = false
    /// `nil`: there are none.
    var mirrors: RequestMirrors?
    /// What the client's new cookie for the choice of its endpoint says; 0: it gets none.
    var hashCookie: UInt64 = 0

    // MARK: Policies

    /// Begun when the first chain with policies is reached.
    var policyRun: PolicyRun?
    var policyStage = Exchange.PolicyStage.none
    var routeChanges: UInt8 = 0
    /// The instance that answered or failed, -1: none.
    var repliedPolicy: Int32 = -1

    // MARK: Time and account

    /// When the request began, in wall clock milliseconds and on the monotonic clock.
    var startedAt: Int64 = 0
    var started: Instant = 0
    /// When the upstream's connection took the request, and when the response's head came; 0: not yet.
    var sentAt: Instant = 0
    var answeredAt: Instant = 0
    /// 0: none.
    var deadline: Instant = 0
    var deadlineCause = DeadlineCause.client
    /// See `RequestNumber`.
    var number: UInt64 = 0
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
    var httpStatus = 0
    /// -1: not known.
    var grpcStatus: Int32 = -1
    /// Why the exchange did not end by itself; a literal.
    var termination = Bytes.empty
    var logState = LogState.none
    /// When it was over, for log hooks; 0: it is not.
    var endedAt: Instant = 0
}

/// How far the account of an exchange has come.
enum LogState: UInt8 {
    case none
    /// Everything is written and counted, but log hooks wait for a later turn.
    case hooksWait
    case done
}

/// How far an exchange has come.
enum ExchangePhase: UInt8 {
    case receivingHead
    /// A request hook is waiting for something.
    case requestPaused
    /// Waiting for a connection to the upstream.
    case connecting
    /// The request is with the upstream.
    case forwarded
    /// An attempt has failed, and the next one is to come.
    case retrying
    /// The first attempt has failed, and those beside it go on.
    case hedging
    /// A response hook is waiting for something.
    case responsePaused
    /// The response is ours or the upstream's and on its way; nothing more is decided.
    case responding
}

typealias Exchange = Pooled<ExchangeRecord>

extension Pooled where Record == ExchangeRecord {
    /// The fields of `state` read and write as the exchange's own.
    @inline(__always) subscript<Value>(dynamicMember field: WritableKeyPath<ExchangeState, Value>) -> Value {
        @inline(__always) get { pointer.pointee.state[keyPath: field] }
        @inline(__always) nonmutating _modify { yield &pointer.pointee.state[keyPath: field] }
    }
}

extension ExchangeRecord {
    /// For assertions: beyond its buffers and `state` the record is as it was made.
    var isAtRest: Bool {
        let streams = [downstreamRecord, upstreamRecord]
        let lists = [request, requestTrailers, response, responseTrailers]
        return streams.allSatisfy { !$0.isOpen && $0.queue == .none }
            && lists.allSatisfy { $0.isEmpty && !$0.removesTwins }
            && requestBody.isEmpty && !requestBody.retains && responseBody.isEmpty
            && !timer.isSet && !attemptTimer.isSet && !idleTimer.isSet
    }

    /// Frees what the record owns. Only when its pool ends.
    func destroy() {
        request.destroy()
        requestTrailers.destroy()
        response.destroy()
        responseTrailers.destroy()
    }
}
