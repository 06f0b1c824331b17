import MoongateConfig

/// The checks of one endpoint, one after the other. On the health monitor's thread.
final class EndpointCheck {
    let upstream: SharedUpstream
    let endpoint: SharedEndpoint
    let config: HealthCheckConfig
    /// TLS with the endpoint as it was when the checks began.
    let tls: TLSClientContext?
    private let loop: EventLoop
    private let probe: HealthProbe
    private let ended: (EndpointCheck, CheckResult, _ hasChanged: Bool) -> Void
    private var timer: OwnedTimer?
    private var thresholds: HealthThresholds
    private var random = FastRandom()
    /// The upstream's requests at the last check.
    private var requests: UInt64 = 0

    var isHealthy: Bool { thresholds.isHealthy ?? false }

    /// - Parameter ended: hears of every check that has ended.
    init(
        _ upstream: SharedUpstream, _ endpoint: SharedEndpoint, _ config: HealthCheckConfig, loop: EventLoop,
        probe: HealthProbe, ended: @escaping (EndpointCheck, CheckResult, Bool) -> Void
    ) {
        self.upstream = upstream
        self.endpoint = endpoint
        self.config = config
        tls = upstream.tls
        self.loop = loop
        self.probe = probe
        self.ended = ended
        thresholds = HealthThresholds(healthy: config.healthyThreshold, unhealthy: config.unhealthyThreshold)
        timer = OwnedTimer(loop) { [weak self] in self?.run() }
    }

    /// The first check begins now.
    func start() { timer?.set(after: 0) }

    func stop() {
        timer = nil
        probe.cancel()
    }

    private func run() {
        probe.run { [weak self] result in
            guard let self, timer != nil else { return }
            let hasChanged = thresholds.note(result)
            timer?.set(after: pause())
            ended(self, result, hasChanged)
        }
    }

    private func pause() -> UInt64 {
        var interval = config.interval.nanoseconds
        if let quiet = config.noTrafficInterval {
            let now = upstream.metrics.block.total(UpstreamCells.Column.requests)
            if now == requests { interval = quiet.nanoseconds }
            requests = now
        }
        let spread = interval / 100 * UInt64(config.jitterPercent)
        return spread == 0 ? interval : interval - spread + random.next() % (2 * spread)
    }
}
