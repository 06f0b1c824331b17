import MoongateConfig

/// How an attempt at an endpoint ended, as far as it says something about the endpoint.
enum AttemptOutcome: Equatable {
    /// A gRPC response; the code is 0 to 16, anything else counts as unknown.
    case grpc(Int)
    /// Any other response.
    case http(Int)
    /// No response: no connection, connection lost, stream reset, or out of time.
    case noResponse

    /// A response that has ended. gRPC's status may stand in its head.
    init(head: HeaderList, trailers: HeaderList) {
        let status = head.value(.status).map(HTTPStatus.parse) ?? 0
        guard let code = trailers.value(.grpcStatus) ?? head.value(.grpcStatus) else {
            self = .http(status)
            return
        }
        self = .grpc(GRPCStatus(parsing: code).map { Int($0.rawValue) } ?? Int(GRPCStatus.unknown.rawValue))
    }
}

/// What counts against endpoints of an upstream: `outlier_detection`, compiled. Trivial.
struct OutlierWatch {
    enum Verdict {
        case success, error, localError
    }

    let consecutiveErrors: Int
    let consecutiveLocalErrors: Int
    /// One bit for each status.
    private let errors: UInt32

    init(_ config: OutlierDetectionConfig) {
        consecutiveErrors = config.consecutiveErrors
        consecutiveLocalErrors = config.consecutiveLocalErrors
        errors = config.errorStatuses.reduce(0) { $0 | 1 << UInt32($1.code) }
    }

    func verdict(_ outcome: AttemptOutcome) -> Verdict {
        switch outcome {
        case .grpc(let code):
            let known = (0...16).contains(code) ? code : Int(GRPCStatus.unknown.rawValue)
            return errors >> UInt32(known) & 1 == 1 ? .error : .success
        case .http(let status): return status >= 500 ? .error : .success
        case .noResponse: return .localError
        }
    }
}

/// Why an endpoint is suspected.
enum SuspicionReason: Sendable {
    case errors(Int)
    case localErrors(Int)

    var text: String {
        switch self {
        case .errors(let count): "\(count) errors in a row"
        case .localErrors(let count): "\(count) attempts in a row without a response"
        }
    }
}
