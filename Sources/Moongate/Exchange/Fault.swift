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
        Fault("request_headers_too_large", .internal, 431, "the request's headers are larger than the listener takes")
    }

    /// R10
    static var methodNotAllowed: Fault {
        Fault("method_not_allowed", .unimplemented, 405, "CONNECT is not served here")
    }

    static var noRoute: Fault { Fault("no_route", .unimplemented, 404, "no route matches the request") }

    // MARK: The upstream's

    static func unavailable(_ reason: String) -> Fault { Fault("upstream_unavailable", .unavailable, 503, reason) }

    static var upstreamHeadersTooLarge: Fault {
        Fault("upstream_headers_too_large", .internal, 502, "the upstream's headers are too large")
    }

    /// The upstream's stream ended before the response did (X1, C3). `reason`: its connection ended.
    static func upstreamReset(_ code: ErrorCode, _ reason: CloseReason?) -> Fault {
        if let reason { return Fault("upstream_connection_lost", .unavailable, 503, "upstream: \(reason.text)") }
        let status = GRPCStatus(resetCode: code.rawValue) ?? .internal
        return Fault(
            "upstream_reset", status, 502, "the upstream reset the stream with HTTP/2 error code \(code.rawValue)")
    }

    // MARK: Ours

    /// T4
    static var deadlineExceeded: Fault { Fault("deadline_exceeded", .deadlineExceeded, 504, "deadline exceeded") }

    /// Policies changed the route once too often.
    static var routeUnstable: Fault {
        Fault("route_unstable", .internal, 500, "policies keep changing the route of this request")
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
        }
    }

    static var draining: Fault { Fault("draining", .unavailable, 503, "the proxy is shutting down") }

    /// Its policies were replaced too long or too often ago.
    static var generationRetired: Fault {
        Fault("generation_retired", .unavailable, 503, "the policies of this stream were replaced")
    }

    /// A policy failed; its text stays in the log, the id finds it there.
    static func policyFailed(requestID: String) -> Fault {
        Fault("policy_error", .internal, 500, "policy error, request id \(requestID)")
    }
}

/// What is still possible when a fault strikes.
enum FaultOutcome: Equatable {
    /// Nothing was sent: a whole answer.
    case reply
    /// The response has begun and no message is cut: trailers with the status.
    case trailers
    /// Neither.
    case reset(ErrorCode)

    /// - Parameter headSent: the client has a part of a response.
    init(headSent: Bool, isGRPC: Bool, atMessageBoundary: Bool, code: ErrorCode) {
        guard headSent else {
            self = .reply
            return
        }
        // S5, X3: trailers can only follow a complete message.
        self = isGRPC && atMessageBoundary ? .trailers : .reset(code)
    }
}
