import MoongateConfig
import Testing

@testable import Moongate

@Suite struct HealthThresholdsTests {
    private func states(_ results: [CheckResult], healthy: Int = 2, unhealthy: Int = 3) -> [Bool?] {
        var thresholds = HealthThresholds(healthy: healthy, unhealthy: unhealthy)
        return results.map { result in
            _ = thresholds.note(result)
            return thresholds.isHealthy
        }
    }

    @Test func firstCheckDecides() {
        #expect(states([.passed]) == [true])
        #expect(states([.silent("")]) == [false])
    }

    @Test func silenceCountsUpToTheThreshold() {
        let silent = CheckResult.silent("")
        #expect(states([.passed, silent, silent, silent]) == [true, true, true, false])
        #expect(states([.passed, silent, silent, .passed, silent, silent]) == [true, true, true, true, true, true])
    }

    @Test func K2AnswerThatSaysSoCountsAtOnce() {
        #expect(states([.passed, .refused("NOT_SERVING")]) == [true, false])
    }

    @Test func recoveryTakesItsThreshold() {
        #expect(states([.refused(""), .passed, .passed]) == [false, false, true])
        #expect(states([.refused(""), .passed, .silent(""), .passed, .passed]) == [false, false, false, false, true])
    }

    @Test func changesAreTold() {
        var thresholds = HealthThresholds(healthy: 1, unhealthy: 1)
        let changes = [CheckResult.passed, .passed, .silent(""), .silent("")].map { thresholds.note($0) }
        #expect(changes == [true, false, true, false])
    }
}

@Suite struct HealthPlanTests {
    private typealias HealthFlags = SharedEndpoint.HealthFlags
    private let fine: SharedEndpoint.HealthFlags = []
    private let failed = SharedEndpoint.HealthFlags.failedCheck
    private let unchecked = SharedEndpoint.HealthFlags.unchecked

    private func plan(_ healthFlags: [SharedEndpoint.HealthFlags], _ priorities: [Int] = [], panic: Int = 50)
        -> HealthPlan
    {
        HealthPlan(healthFlags, priorities: priorities, panicThreshold: panic)
    }

    @Test func healthyOnesAreUsed() {
        #expect(plan([fine, failed, .ejected]).isAvailable == [true, true, true])
        #expect(plan([fine, fine, failed]).isAvailable == [true, true, false])
        #expect(plan([fine, failed]).isAvailable == [true, false])
    }

    @Test func belowTheThresholdAllAreUsed() {
        let plan = plan([fine, failed, failed])
        #expect(plan.isPanicking && plan.isAvailable == [true, true, true])
        #expect(self.plan([failed]).isPanicking)
    }

    @Test func withoutPanicNothingIsLeft() {
        #expect(plan([failed, .ejected], panic: 0).isAvailable == [false, false])
        #expect(!plan([failed, failed], panic: 0).isPanicking)
    }

    @Test func uncheckedOnesServeUntilSomeOneIsHealthy() {
        #expect(plan([unchecked, unchecked]).isAvailable == [true, true])
        #expect(plan([unchecked, fine]).isAvailable == [false, true])
        #expect(plan([unchecked, failed]).isAvailable == [true, false])
        #expect(!plan([unchecked, failed]).isPanicking)
    }

    @Test func otherPrioritiesComeBeforePanic() {
        let plan = plan([failed, failed, failed, fine], [0, 0, 0, 1])
        #expect(!plan.isPanicking && plan.isAvailable == [false, false, false, true])
        #expect(self.plan([failed, failed, failed, failed], [0, 0, 1, 1]).isPanicking)
    }

    @Test func noEndpointsAreNoTrouble() { #expect(plan([]).isAvailable.isEmpty) }
}

@Suite struct EjectionTests {
    private let second: UInt64 = 1_000_000_000
    private let config = OutlierDetectionConfig()

    @Test func ejectionsGrowUpToTheLongest() {
        var history = EjectionHistory()
        var now = second
        var times: [UInt64] = []
        for _ in 0..<12 {
            let time = history.begin(config, now: now)
            times.append(time / second)
            now += time
            history.end(now: now)
            now += 1
        }
        #expect(times == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300])
    }

    @Test func quietIntervalsForgetOneEach() {
        var history = EjectionHistory()
        for _ in 0..<4 {
            _ = history.begin(config, now: second)
            history.end(now: second)
        }
        let afterThree = history.begin(config, now: 31 * second)
        #expect(afterThree == 60 * second)
        history.end(now: 31 * second)
        let afterAll = history.begin(config, now: 10_000 * second)
        #expect(afterAll == 30 * second)
    }

    @Test(arguments: [
        (0, 1, 10, true), (0, 100, 10, true), (9, 100, 10, true), (10, 100, 10, false), (1, 5, 10, false),
        (1, 2, 100, true), (2, 2, 100, false), (0, 3, 0, false),
    ])
    func oneMayBeEjectedInAnyCase(ejected: Int, total: Int, percent: Int, hasRoom: Bool) {
        var config = config
        config.maxEjectionPercent = percent
        #expect(EjectionHistory.hasRoom(ejected: ejected, of: total, config) == hasRoom)
    }

    @Test func hugeTimesDoNotOverflow() {
        var config = config
        config.baseEjectionTime = .seconds(86400)
        config.maxEjectionTime = .seconds(1)
        var history = EjectionHistory()
        let time = history.begin(config, now: 1)
        #expect(time == 86400 * second)
    }
}

@Suite struct SharedEndpointTests {
    private func endpoint() throws -> SharedEndpoint {
        SharedEndpoint(try #require(SocketAddress("10.0.0.1:80")), workers: 2, now: 1)
    }

    @Test func errorsInARowReachTheLimitOnce() throws {
        let endpoint = try endpoint()
        #expect((0..<7).map { _ in endpoint.noteError(limit: 3) } == [false, false, true, false, false, true, false])
    }

    @Test func responsesEndTheRows() throws {
        let endpoint = try endpoint()
        _ = endpoint.noteError(limit: 2)
        endpoint.noteSuccess()
        #expect(!endpoint.noteError(limit: 2))
        _ = endpoint.noteLocalError(limit: 2)
        // Any response shows that the endpoint can be reached.
        _ = endpoint.noteError(limit: 10)
        #expect(!endpoint.noteLocalError(limit: 2))
        #expect(endpoint.noteLocalError(limit: 2))
    }

    @Test func limitOfZeroIsNone() throws {
        let endpoint = try endpoint()
        for _ in 0..<10 { #expect(!endpoint.noteError(limit: 0) && !endpoint.noteLocalError(limit: 0)) }
    }

    @Test func recoveryIsDated() throws {
        let endpoint = try endpoint()
        #expect(endpoint.setAilments(.failedCheck, now: 5))
        #expect(!endpoint.setAilments(.failedCheck, now: 6))
        #expect(endpoint.healthySince == 1)
        #expect(endpoint.setAilments([], now: 7))
        #expect(endpoint.healthySince == 7)
    }

    @Test func stateIsTheWorstThatIsKnown() throws {
        let endpoint = try endpoint()
        #expect(endpoint.state == .healthy)
        endpoint.failing(worker: 1).set(1)
        #expect(endpoint.state == .unreachable)
        _ = endpoint.setAilments([.ejected, .unchecked], now: 1)
        #expect(endpoint.state == .ejected)
        _ = endpoint.setAilments([.ejected, .failedCheck], now: 1)
        #expect(endpoint.state == .unhealthy)
    }
}

@Suite struct SharedMembersTests {
    private let registry = MetricsRegistry(workers: 2)
    private let address: SocketAddress

    init() throws { address = try #require(SocketAddress("10.0.0.1:80")) }

    @Test func workersShareAnEndpointUntilTheLastLeaves() {
        let upstream = registry.sharedUpstreams.upstream("a")
        let one = upstream.join(address, host: "a.example")
        let two = upstream.join(address, host: "a.example")
        #expect(one === two)
        upstream.leave(one)
        #expect(upstream.members.count == 1)
        upstream.leave(two)
        #expect(upstream.members.isEmpty)
    }

    @Test func oneThatComesBackSoonIsTheSame() {
        let upstream = registry.sharedUpstreams.upstream("a")
        let one = upstream.join(address, host: "a.example")
        upstream.leave(one)
        #expect(upstream.join(address, host: "a.example") === one)
    }

    @Test func newEndpointsAreUncheckedWhereThereAreChecks() {
        let upstream = registry.sharedUpstreams.upstream("a")
        var config = UpstreamConfig(name: "a", endpoints: [])
        config.healthCheck = HealthCheckConfig()
        upstream.use(config, tls: nil)
        #expect(upstream.join(address, host: "a.example").healthFlags == .unchecked)
    }
}

@Suite struct OutlierWatchTests {
    private let watch = OutlierWatch(OutlierDetectionConfig())

    @Test func statusesOfTheListAreErrors() {
        for code in [2, 13, 14, 15, 17, -1] { #expect(watch.verdict(.grpc(code)) == .error, "\(code)") }
        for code in [0, 1, 3, 4, 5, 7, 8, 12, 16] { #expect(watch.verdict(.grpc(code)) == .success, "\(code)") }
    }

    @Test func serverErrorsOfHTTPAre() {
        #expect(watch.verdict(.http(503)) == .error && watch.verdict(.http(500)) == .error)
        #expect(watch.verdict(.http(429)) == .success && watch.verdict(.http(200)) == .success)
    }

    @Test func noResponseIsALocalError() { #expect(watch.verdict(.noResponse) == .localError) }

    @Test func configuredNamesHaveTheCodesOfGRPC() {
        for status in GRPCStatusName.allCases {
            let known = GRPCStatus(rawValue: UInt8(status.code)).map { "\($0.name)".lowercased() }
            #expect(known == status.rawValue)
        }
    }
}

@Suite struct SlowStartTests {
    private let slow = SlowStart(SlowStartConfig(window: .nanoseconds(1000), minWeightPercent: 10))

    @Test func shareGrowsEvenly() {
        #expect(slow.share(since: 100, now: 100) == 0.1)
        #expect(slow.share(since: 100, now: 150) == 0.1)
        #expect(slow.share(since: 100, now: 600) == 0.5)
        #expect(slow.share(since: 100, now: 5000) == 1)
        #expect(slow.share(since: 100, now: 50) == 0.1)
    }

    @Test func windowEnds() {
        #expect(!slow.isWarm(since: 100, now: 1099))
        #expect(slow.isWarm(since: 100, now: 1100))
    }
}

@Suite struct GRPCHealthTests {
    @Test func requestNamesTheService() {
        #expect(GRPCHealth.request(service: "") == [0, 0, 0, 0, 0])
        #expect(GRPCHealth.request(service: "a.B") == [0, 0, 0, 0, 5, 0x0a, 3] + Array("a.B".utf8))
        let long = String(repeating: "x", count: 300)
        #expect(Array(GRPCHealth.request(service: long).prefix(8)) == [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 0x02])
    }

    @Test func ownAnswersAreRead() {
        for serving in [GRPCHealth.Serving.serving, .notServing] {
            #expect(GRPCHealth.serving(in: GRPCHealth.answer(serving)) == serving)
        }
    }

    @Test func answersAreRead() {
        #expect(GRPCHealth.serving(in: [0, 0, 0, 0, 2, 8, 1]) == .serving)
        #expect(GRPCHealth.serving(in: [0, 0, 0, 0, 2, 8, 2]) == .notServing)
        #expect(GRPCHealth.serving(in: [0, 0, 0, 0, 2, 8, 3]) == .serviceUnknown)
        #expect(GRPCHealth.serving(in: [0, 0, 0, 0, 0]) == .unknown)
        // Fields that nobody knows yet, of each kind.
        let more: [UInt8] = [0x12, 1, 7, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1]
        #expect(GRPCHealth.serving(in: [0, 0, 0, 0, UInt8(more.count)] + more) == .serving)
    }

    @Test(
        arguments: [
            [], [0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 2, 8, 1], [0, 0, 0, 0, 1, 8], [0, 0, 0, 0, 2, 0x12, 9],
            [0, 0, 0, 0, 1, 0x0b], [0, 0, 0, 0, 11] + [UInt8](repeating: 0xff, count: 11), [0, 0, 0, 0, 2, 8, 1, 0],
            [0, 0, 0, 0, 12, 0x12] + [UInt8](repeating: 0xff, count: 9) + [1, 0],
        ] as [[UInt8]])
    func brokenAnswersAreNone(body: [UInt8]) { #expect(GRPCHealth.serving(in: body) == nil) }
}
