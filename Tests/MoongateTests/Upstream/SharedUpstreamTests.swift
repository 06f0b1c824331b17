import MoongateConfig
import Testing

@testable import Moongate

@Suite struct SharedUpstreamTests {
    private let registry = MetricsRegistry(workers: 2)

    private func shared(_ limits: UpstreamLimitsConfig) -> SharedUpstream {
        let upstream = registry.sharedUpstreams.upstream("greeter")
        var config = UpstreamConfig(name: "greeter", endpoints: [])
        config.limits = limits
        upstream.use(config, tls: nil)
        return upstream
    }

    @Test func oneNameIsOneForAllAndForAsLongAsItIsUsed() {
        var one: SharedUpstream? = registry.sharedUpstreams.upstream("a")
        #expect(registry.sharedUpstreams.upstream("a") === one)
        #expect(registry.sharedUpstreams.living().map(\.name) == ["a"])
        one = nil
        #expect(registry.sharedUpstreams.living().isEmpty)
    }

    private final class Listener: HealthListener {
        let rings = Locked(0)
        func hear(_ news: HealthEvent) { rings.withLock { $0 += 1 } }
    }

    @Test func healthHearsOfManyEndpointsOnce() throws {
        let bell = HealthWaker()
        let listener = Listener()
        bell.connect(listener)
        let rings = listener.rings
        let block = CounterBlock(rows: 1, columns: UpstreamCells.Column.count)
        let upstream = SharedUpstream(name: "a", metrics: MetricsRegistry.Entry(name: "a", block: block), bell: bell)
        let addresses = try (0..<500).map {
            try #require(SocketAddress(host: "10.0.\($0 / 250).\($0 % 250)", port: 80))
        }
        let endpoints = addresses.map { upstream.join($0, host: "a") }
        #expect(rings.withLock { $0 } == 1)
        upstream.membersAreLookedAt()
        for endpoint in endpoints { upstream.leave(endpoint) }
        #expect(rings.withLock { $0 } == 2)
        // Who has just left is remembered, whoever looks.
        #expect(upstream.join(addresses[0], host: "a") === endpoints[0])
    }

    @Test func withoutLimitsRetriesGoOn() {
        let upstream = shared(UpstreamLimitsConfig())
        for _ in 0..<100 { #expect(upstream.tryBeginRetry()) }
        #expect(upstream.activeRetries == 100)
    }

    @Test func retriesAreBoundedForAllWorkers() {
        let upstream = shared(UpstreamLimitsConfig(maxRetries: 1))
        #expect(upstream.tryBeginRetry())
        #expect(!upstream.tryBeginRetry())
        #expect(upstream.overflow(.retries) == "upstream greeter: max_retries (1) reached")
        upstream.endRetry()
        #expect(upstream.tryBeginRetry())
    }

    @Test func budgetFollowsTheActiveRequestsOfAllWorkers() {
        let upstream = shared(UpstreamLimitsConfig(retryBudget: .init(percent: 20, minConcurrency: 1)))
        #expect(upstream.tryBeginRetry())
        #expect(!upstream.tryBeginRetry())
        for worker in 0..<2 { UpstreamCells(row: upstream.metrics.block.row(worker)).openStreams.add(5) }
        #expect(upstream.tryBeginRetry())
        #expect(!upstream.tryBeginRetry())
        #expect(upstream.overflow(.retries) == "upstream greeter: retry_budget (20 %, at least 1) used up")
    }

    @Test(arguments: [
        (20, 3, 0, 3), (20, 3, 100, 20), (20, 0, 4, 0), (0, 0, 1000, 0), (100, 0, 7, 7), (33, 1, 250, 82),
    ])
    func budgetCountsInWholeRetries(percent: Int, minimum: Int, active: Int, retries: Int) throws {
        let packed = RetryBudget.packed(.init(percent: percent, minConcurrency: minimum))
        let budget = try #require(RetryBudget(packed: packed))
        #expect(budget.retries(ofActive: active) == retries)
    }

    @Test func noBudgetIsNone() {
        #expect(RetryBudget(packed: RetryBudget.packed(nil)) == nil)
    }

    @Test func messagesNameTheSetting() {
        let upstream = shared(UpstreamLimitsConfig(maxConnections: 2, maxPendingRequests: 3, maxRequests: 100))
        #expect(upstream.overflow(.requests) == "upstream greeter: max_requests (100) reached")
        #expect(upstream.overflow(.pending) == "upstream greeter: max_pending_requests (3) reached")
        #expect(upstream.overflow(.connections) == "upstream greeter: max_connections (2) reached")
    }
}
