/// What one check said.
enum CheckResult: Equatable {
    case passed
    /// The endpoint answered that it is not healthy, or not as it should.
    case refused(String)
    /// There was no answer.
    case silent(String)

    var failure: String? {
        switch self {
        case .passed: nil
        case .refused(let reason), .silent(let reason): reason
        }
    }
}

/// Makes the health of an endpoint from the results of its checks: a pure value.
struct HealthThresholds: Equatable {
    let healthy: Int
    let unhealthy: Int
    /// `nil` before the first check has ended.
    private(set) var isHealthy: Bool?
    /// Results in a row that speak against `isHealthy`.
    private var against = 0

    init(healthy: Int, unhealthy: Int) {
        self.healthy = healthy
        self.unhealthy = unhealthy
    }

    /// - Returns: whether the health has changed. The first check decides by itself, and so does an answer that says
    ///   that the endpoint is not healthy.
    mutating func note(_ result: CheckResult) -> Bool {
        let passed = result == .passed
        guard let current = isHealthy, current != passed else {
            let isFirst = isHealthy == nil
            against = 0
            isHealthy = passed
            return isFirst
        }
        against += 1
        if case .refused = result { against = max(against, unhealthy) }
        guard against >= (passed ? healthy : unhealthy) else { return false }
        isHealthy = passed
        against = 0
        return true
    }
}
