extension GRPCStatus {
    /// What a client makes of a response without `grpc-status`, by the HTTP status (gRPC's
    /// http-grpc-status-mapping, with 431 as the answer to too much metadata). 200 without a status is unknown.
    init(httpStatus: Int) {
        switch httpStatus {
        case 400, 431: self = .internal
        case 401: self = .unauthenticated
        case 403: self = .permissionDenied
        case 404: self = .unimplemented
        case 429, 502, 503, 504: self = .unavailable
        default: self = .unknown
        }
    }

    /// What `respond` in a policy means to a gRPC caller: Envoy's table, which has no entry for 431.
    init(respondStatus: Int) {
        self = respondStatus == 431 ? .unknown : GRPCStatus(httpStatus: respondStatus)
    }

    /// The meaning of a stream's early end to a gRPC caller (gRPC over HTTP/2, "Errors"). Codes that nobody defined count as
    /// INTERNAL_ERROR.
    init(_ end: StreamEnd) {
        switch end {
        case .refused, .cutOff: self = .unavailable
        case .cancelled: self = .cancelled
        case .overloaded: self = .resourceExhausted
        case .code(0xc): self = .permissionDenied  // INADEQUATE_SECURITY
        case .complete, .internalError, .protocolError, .code: self = .internal
        }
    }

    /// The HTTP status for callers that do not speak gRPC (Envoy's table).
    var httpStatus: Int {
        switch self {
        case .ok: 200
        case .cancelled: 499
        case .invalidArgument, .failedPrecondition, .outOfRange: 400
        case .deadlineExceeded: 504
        case .notFound: 404
        case .alreadyExists, .aborted: 409
        case .permissionDenied: 403
        case .resourceExhausted: 429
        case .unimplemented: 501
        case .unavailable: 503
        case .unauthenticated: 401
        case .unknown, .internal, .dataLoss: 500
        }
    }
}
