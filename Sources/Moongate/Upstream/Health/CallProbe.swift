import MoongateConfig

/// Asks by a call over HTTP/2, on a connection of its own that stays while the answers come.
final class CallProbe: HealthProbe {
    /// Bytes that an answer may have.
    private static let answerLimit = 64 << 10

    private let kind: HealthCheckConfig.Probe
    private let timeout: UInt64
    private let calls: UpstreamCalls
    private let makeEndpoint: () -> Endpoint
    private var endpoint: Endpoint?
    private var call: UpstreamCall?

    /// - Parameter makeEndpoint: the endpoint, with connections of its own.
    init(
        _ kind: HealthCheckConfig.Probe, timeout: UInt64, calls: UpstreamCalls, makeEndpoint: @escaping () -> Endpoint
    ) {
        self.kind = kind
        self.timeout = timeout
        self.calls = calls
        self.makeEndpoint = makeEndpoint
    }

    override func run(_ ended: @escaping (CheckResult) -> Void) {
        let endpoint = endpoint ?? makeEndpoint()
        self.endpoint = endpoint
        let call = UpstreamCall()
        fill(call, endpoint)
        call.timeout = timeout
        call.limit = CallProbe.answerLimit
        self.call = call
        calls.start(call, at: endpoint) { [weak self] failure in
            guard let self else { return }
            self.call = nil
            // A connection that gave no answer says nothing about the next one.
            if failure != nil { hangUp() }
            ended(result(of: call, failure))
        }
    }

    override func cancel() {
        call?.cancel()
        call = nil
        hangUp()
    }

    private func hangUp() {
        endpoint?.remove()
        endpoint = nil
    }

    // MARK: The request

    private func fill(_ call: UpstreamCall, _ endpoint: Endpoint) {
        switch kind {
        case .grpc(let check):
            begin(call, endpoint, method: "POST", path: "\(GRPCHealth.checkPath)", authority: check.authority)
            call.request.add("te", "trailers")
            call.request.add("content-type", "application/grpc")
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: GRPCTimeout.maximumLength) { buffer in
                guard let base = buffer.baseAddress else { return }
                let count = GRPCTimeout.write(remaining: Int64(clamping: timeout), to: base)
                call.request.add("grpc-timeout", Bytes(base, count))
            }
            call.body = GRPCHealth.request(service: check.service)
        case .http(let check):
            begin(call, endpoint, method: "GET", path: check.path, authority: check.host)
        case .tcp: break
        }
        call.request.add("user-agent", "moongate-health")
    }

    private func begin(
        _ call: UpstreamCall, _ endpoint: Endpoint, method: StaticString, path: String, authority: String?
    ) {
        call.request.add(":method", method)
        call.request.add(":scheme", endpoint.tls == nil ? "http" : "https")
        (authority ?? endpoint.name).withBytes { call.request.add(":authority", $0) }
        path.withBytes { call.request.add(":path", $0) }
    }

    // MARK: The answer

    private func result(of call: UpstreamCall, _ failure: UpstreamCall.Failure?) -> CheckResult {
        switch failure {
        case nil: break
        case .timeout: return .silent("no answer within \(timeout / 1_000_000) ms")
        case .unavailable(let reason), .reset(let reason): return .silent(reason)
        case .tooLarge: return .refused("the answer is too large")
        case .headTooLarge: return .refused(failure?.text ?? "")
        }
        let status = call.response.value(.status).map(HTTPStatus.parse) ?? 0
        switch kind {
        case .grpc(let check): return grpcResult(call, status, check.service)
        case .http(let check):
            return check.expectedStatuses.contains(status) ? .passed : .refused("HTTP status \(status)")
        case .tcp: return .passed
        }
    }

    private func grpcResult(_ call: UpstreamCall, _ httpStatus: Int, _ service: String) -> CheckResult {
        // A trailers-only answer has its status in the head.
        let trailers = call.trailers.first(.grpcStatus) == nil ? call.response : call.trailers
        guard let code = trailers.value(.grpcStatus) else {
            return .refused("HTTP status \(httpStatus) without grpc-status")
        }
        let status = GRPCStatus(parsing: code) ?? .unknown
        switch status {
        case .ok:
            guard let serving = GRPCHealth.serving(in: call.answer) else {
                return .refused("the answer is no HealthCheckResponse")
            }
            return serving == .serving ? .passed : .refused(serving.name)
        // K2: a server without the health service has no way to say more.
        case .unimplemented: return .passed
        case .notFound: return .refused("NOT_FOUND: the server does not know the service \"\(service)\"")
        default: return .refused("\(status.name)")
        }
    }
}
