/// What went wrong with an exchange, and what the client is told: one value, mapped in one place.
struct Fault {
    /// For the access log.
    let name: Bytes
    let status: GRPCStatus
    /// For callers that do not speak gRPC.
    let httpStatus: Int
    /// For people.
    let message: String

    private init(_ name: StaticString, _ status: GRPCStatus, _ httpStatus: Int, _ message: String) {
        self.name = Bytes(name)
        self.status = status
        self.httpStatus = httpStatus
        self.message = message
    }

    // MARK: The client's

    static func malformed(_ what: String) -> Fault { Fault("malformed_request", .internal, 400, what) }

    /// R7: 431 maps to INTERNAL for gRPC; the connection goes on.
    static var headersTooLarge: Fault {
        Fault(
            "request_headers_too_large", .internal, 431,
            "the request's headers are larger, or more, than the listener takes")
    }

    /// R10
    static var methodNotAllowed: Fault {
        Fault("method_not_allowed", .unimplemented, 405, "CONNECT is not served here")
    }

    /// The connection was made for another certificate (RFC 9110 §15.5.20). A gRPC caller gains nothing by trying again
    /// on the same channel, so it is told a status that nobody retries.
    static func misdirected(serverName: String) -> Fault {
        Fault(
            "misdirected_request", .failedPrecondition, 421,
            "this connection was made for \(serverName), and the request's host has a certificate of its own: use another"
                + " connection")
    }

    static var noRoute: Fault { Fault("no_route", .unimplemented, 404, "no route matches the request") }

    // MARK: The upstream's

    /// `reason` names the upstream, never an endpoint's address.
    static func unavailable(_ reason: String) -> Fault { Fault("upstream_unavailable", .unavailable, 503, reason) }

    /// A limit of the upstream is reached; `reason` names it.
    static func overflow(_ reason: String) -> Fault { Fault("upstream_overflow", .unavailable, 503, reason) }

    /// The request's header section is larger than the endpoint takes, with what the edge has written into it. Others share
    /// the connection, and the server might end it. `upstream`: its name; clients are never told an endpoint's address.
    static func upstreamHeadLimit(_ size: HeadSize, upstream: String, isTrailers: Bool = false) -> Fault {
        Fault(
            "upstream_header_limit", .resourceExhausted, 431,
            "the \(isTrailers ? "trailers" : "headers") of the request take \(size.octets) octets, and upstream \(upstream)"
                + " takes \(size.limit) (SETTINGS_MAX_HEADER_LIST_SIZE)")
    }

    /// The client would end its connection for a head of this size.
    static func responseHeadTooLarge(_ size: HeadSize) -> Fault {
        Fault(
            "response_headers_too_large", .resourceExhausted, 502,
            "the headers of the response take \(size.octets) octets, and the client takes \(size.limit)"
                + " (SETTINGS_MAX_HEADER_LIST_SIZE)")
    }

    static var upstreamHeadersTooLarge: Fault {
        Fault("upstream_headers_too_large", .internal, 502, "the upstream's headers are too large")
    }

    /// The upstream's stream ended before the response did (X1, C3). `upstream`: its name; `reason`: its connection ended.
    static func upstreamReset(_ end: StreamEnd, _ reason: CloseReason?, upstream: String) -> Fault {
        if let reason {
            return Fault("upstream_connection_lost", .unavailable, 503, "upstream \(upstream): \(reason.text)")
        }
        let status = GRPCStatus(end)
        return Fault(
            "upstream_reset", status, 502,
            "upstream \(upstream) reset the stream with \(end.text)")
    }

    /// S6: the upstream, or a proxy before it, answered a gRPC call with something else. `text`: the beginning of it.
    static func noGRPC(httpStatus: Int, text: String) -> Fault {
        Fault(
            "no_grpc_response", GRPCStatus(httpStatus: httpStatus), 502,
            "the upstream answered with HTTP \(httpStatus) instead of gRPC" + (text.isEmpty ? "" : ": \(text)"))
    }

    /// The text with every run of white space as one space, without a character that was cut.
    static func readable(_ text: UnsafeBufferPointer<UInt8>) -> String {
        var words = String(decoding: text, as: UTF8.self).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        if words.last == "\u{fffd}" { words.removeLast() }
        return words
    }

    // MARK: Ours

    /// The request came while memory is short.
    static var overloaded: Fault { Fault("overload", .unavailable, 503, "the proxy is short of memory") }

    /// The exchange held more than others when memory ran short.
    static var shed: Fault {
        Fault("overload_reset", .unavailable, 503, "ended because the proxy is short of memory")
    }

    /// Policies collect more for the requests of one connection than they may.
    static var requestBuffer: Fault {
        Fault(
            "request_buffer", .resourceExhausted, 413,
            "the requests of this connection hold too much: limits.request_buffer of the listener")
    }

    /// T4: names the timer and where it was set. `time`: nanoseconds.
    static func deadlineExceeded(_ cause: DeadlineCause, _ time: UInt64, route: String) -> Fault {
        let setting =
            switch cause {
            case .client: "the client's grpc-timeout"
            case .route: "timeout of route \(route)"
            case .policy: "the timeout that a policy set"
            case .absentGRPCTimeout: "grpc_timeout.default of route \(route)"
            case .longestGRPCTimeout: "grpc_timeout.maximum of route \(route)"
            }
        return Fault(
            "deadline_exceeded", .deadlineExceeded, 504, "deadline exceeded: \(setting), \(Fault.text(time))")
    }

    /// No byte of either body for `time` nanoseconds.
    static func idle(_ time: UInt64, route: String) -> Fault {
        Fault(
            "idle_timeout", .deadlineExceeded, 504,
            "no data for \(Fault.text(time)): idle_timeout of route \(route)")
    }

    /// No byte of the request for `time` nanoseconds, and no response.
    static func requestTimeout(_ time: UInt64) -> Fault {
        Fault(
            "request_timeout", .deadlineExceeded, 408,
            "no data of the request for \(Fault.text(time)): connection.request_body_timeout of the listener")
    }

    /// T5: the last attempt took `time` nanoseconds without a response.
    static func perTryTimeout(_ time: UInt64, route: String, attempt: UInt8, of all: UInt8) -> Fault {
        Fault(
            "per_try_timeout", .deadlineExceeded, 504,
            "no response within \(Fault.text(time)): retry.per_try_timeout of route \(route), attempt \(attempt) of"
                + " \(all)")
    }

    /// A time in nanoseconds, for people.
    private static func text(_ time: UInt64) -> String {
        time % 1_000_000_000 == 0 ? "\(time / 1_000_000_000) s" : "\(Double(time / 1000) / 1000) ms"
    }

    /// Policies changed the route once too often.
    static var routeUnstable: Fault {
        Fault("route_unstable", .internal, 500, "policies keep changing the route of this request")
    }

    static var rewriteFailed: Fault {
        Fault("rewrite_failed", .internal, 500, "the route's rewrite makes no path that can be sent")
    }

    /// A policy has asked for a body that it cannot have.
    static func refused(_ refusal: PolicyRefusal, isResponse: Bool) -> Fault {
        let side = isResponse ? "response" : "request"
        switch refusal {
        case .bodyTooLarge:
            return Fault(
                isResponse ? "response_body_too_large" : "request_body_too_large", .resourceExhausted,
                isResponse ? 500 : 413, "the \(side)'s body is larger than a policy can take")
        case .messageTooLarge(let limit):
            return Fault(
                isResponse ? "response_message_too_large" : "request_message_too_large", .resourceExhausted,
                isResponse ? 500 : 413, "a message of the \(side) is larger than a policy takes (\(limit) bytes)")
        case .messageCut:
            return Fault(
                isResponse ? "response_message_cut" : "request_message_cut", .internal, isResponse ? 502 : 400,
                "the \(side) ends within a message")
        case .callsTooLarge: return .requestBuffer
        }
    }

    static var draining: Fault { Fault("draining", .unavailable, 503, "the proxy is shutting down") }

    /// The client's connection has reached `max_age`, and `max_age_grace` is over.
    static var connectionTooOld: Fault {
        Fault("connection_max_age", .unavailable, 503, "the client's connection has reached its greatest age")
    }

    /// Its policies were replaced too long or too often ago.
    static var generationRetired: Fault {
        Fault("generation_retired", .unavailable, 503, "the policies of this stream were replaced")
    }
    /// A policy failed; its text stays in the log, the id finds it there.
    static func policyFailed(requestID: String) -> Fault {
        Fault("policy_error", .internal, 500, "policy error, request id \(requestID)")
    }

    /// A policy takes no more runs at present, from anybody or from this client; its log says which and why.
    static var policyExhausted: Fault {
        Fault("policy_exhausted", .resourceExhausted, 503, "a policy takes no more requests at present")
    }
}

/// What is still possible when a fault strikes.
enum FaultOutcome: Equatable {
    /// Nothing was sent: a whole answer.
    case reply
    /// The response has begun and no message is cut: trailers with the status.
    case trailers
    /// Neither.
    case reset(StreamEnd)

    /// - Parameter headSent: the client has a part of a response.
    init(headSent: Bool, isGRPC: Bool, atMessageBoundary: Bool, end: StreamEnd) {
        guard headSent else {
            self = .reply
            return
        }
        // S5, X3: trailers can only follow a complete message. NO_ERROR says that a response is complete (RFC 9113 §8.1), and some
        // clients take one for that which is cut.
        self = isGRPC && atMessageBoundary ? .trailers : .reset(end == .complete ? .internalError : end)
    }
}
