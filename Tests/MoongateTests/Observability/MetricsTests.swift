import Testing

@testable import Moongate

@Suite struct MetricsTests {
    private func generation(_ registry: MetricsRegistry, routes: [String] = ["a", "b"]) -> GenerationMetrics {
        GenerationMetrics(
            registry: registry, routes: routes, upstreams: ["up"], listeners: ["edge"],
            policies: ["canary", "strip-port"])
    }

    private func lines(_ registry: MetricsRegistry) -> [String] {
        String(decoding: registry.exposition(), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    @Test func requestsAreCountedByRouteAndStatusOverAllWorkers() {
        let registry = MetricsRegistry(workers: 2)
        let metrics = generation(registry)
        metrics.worker(0).route(0).countGRPC(status: 0)
        metrics.worker(1).route(0).countGRPC(status: 0)
        metrics.worker(1).route(1).countGRPC(status: 16)
        metrics.worker(0).route(1).countGRPC(status: 4711)
        metrics.worker(0).route(1).countGRPC(status: -1)
        metrics.worker(0).route(-1).countHTTP(status: 404)
        metrics.worker(0).route(-1).countHTTP(status: 0)
        let lines = lines(registry)
        #expect(lines.contains("moongate_requests_total{route=\"a\",grpc_status=\"0\"} 2"))
        #expect(lines.contains("moongate_requests_total{route=\"b\",grpc_status=\"16\"} 1"))
        #expect(lines.contains("moongate_requests_total{route=\"b\",grpc_status=\"other\"} 2"))
        #expect(lines.contains("moongate_http_requests_total{route=\"none\",http_status=\"4xx\"} 1"))
        #expect(lines.contains("moongate_http_requests_total{route=\"none\",http_status=\"none\"} 1"))
    }

    @Test func countersSurviveAReloadThatKeepsTheName() {
        let registry = MetricsRegistry(workers: 1)
        var current = generation(registry, routes: ["kept", "gone"])
        current.worker(0).route(0).countGRPC(status: 0)
        current.worker(0).route(1).countGRPC(status: 0)
        // Another position in the list: the name counts.
        current = generation(registry, routes: ["new", "kept"])
        current.worker(0).route(1).countGRPC(status: 0)
        let lines = lines(registry)
        #expect(lines.contains("moongate_requests_total{route=\"kept\",grpc_status=\"0\"} 2"))
        #expect(lines.contains("moongate_requests_total{route=\"new\",grpc_status=\"0\"} 0"))
        #expect(!lines.contains { $0.contains("\"gone\"") })
        withExtendedLifetime(current) {}
    }

    @Test func removedRouteIsShownWhileAnOldGenerationStillUsesIt() {
        let registry = MetricsRegistry(workers: 1)
        let old = generation(registry, routes: ["old"])
        let new = generation(registry, routes: [])
        #expect(lines(registry).contains { $0.contains("route=\"old\"") })
        withExtendedLifetime((old, new)) {}
    }

    @Test func policiesUpstreamsAndListenersAreCounted() {
        let registry = MetricsRegistry(workers: 2)
        let metrics = generation(registry)
        let view = metrics.worker(1)
        view.policy(1).countRun(.onRequest)
        view.policy(1).countError(.onResponse, .timeLimit)
        view.policy(0).countReply(.onRequest)
        view.upstream(0).openConnections.add(3)
        view.upstream(0).openConnections.subtract()
        // The other worker's gauge may be below zero; the sum counts.
        metrics.worker(0).upstream(0).openConnections.subtract()
        view.upstream(0).connectFailures.add()
        view.listener(0).openConnections.add()
        let lines = lines(registry)
        #expect(lines.contains("moongate_policy_runs_total{policy=\"strip-port\",hook=\"on_request\"} 1"))
        #expect(
            lines.contains(
                "moongate_policy_errors_total{policy=\"strip-port\",hook=\"on_response\",reason=\"time_limit\"} 1"))
        #expect(lines.contains("moongate_policy_replies_total{policy=\"canary\",hook=\"on_request\"} 1"))
        #expect(lines.contains("moongate_upstream_connections{upstream=\"up\"} 1"))
        #expect(lines.contains("moongate_upstream_connects_total{upstream=\"up\",result=\"failure\"} 1"))
        #expect(lines.contains("moongate_downstream_connections{listener=\"edge\",worker=\"0\"} 0"))
        #expect(lines.contains("moongate_downstream_connections{listener=\"edge\",worker=\"1\"} 1"))
    }

    @Test func bucketLadderAgreesWithTheBounds() {
        for (index, bound) in LatencyHistogram.bounds.enumerated() {
            #expect(LatencyHistogram.bucket(bound) == index)
            #expect(LatencyHistogram.bucket(bound + 1) == index + 1)
        }
        #expect(LatencyHistogram.bounds.count + 2 == LatencyHistogram.columns)
    }

    @Test func histogramIsCumulativeAndInSeconds() {
        let registry = MetricsRegistry(workers: 2)
        let metrics = generation(registry)
        metrics.worker(0).route(0).duration.record(microseconds: 400)
        metrics.worker(1).route(0).duration.record(microseconds: 3_000)
        metrics.worker(1).route(0).duration.record(microseconds: 90_000_000)
        let lines = lines(registry).filter { $0.hasPrefix("moongate_request_duration_seconds") }
        #expect(lines.contains("moongate_request_duration_seconds_bucket{route=\"a\",le=\"0.00025\"} 0"))
        #expect(lines.contains("moongate_request_duration_seconds_bucket{route=\"a\",le=\"0.0005\"} 1"))
        #expect(lines.contains("moongate_request_duration_seconds_bucket{route=\"a\",le=\"0.005\"} 2"))
        #expect(lines.contains("moongate_request_duration_seconds_bucket{route=\"a\",le=\"60\"} 2"))
        #expect(lines.contains("moongate_request_duration_seconds_bucket{route=\"a\",le=\"+Inf\"} 3"))
        #expect(lines.contains("moongate_request_duration_seconds_sum{route=\"a\"} 90.0034"))
        #expect(lines.contains("moongate_request_duration_seconds_count{route=\"a\"} 3"))
        #expect(!lines.contains { $0.contains("route=\"b\"") })
    }

    @Test func everyFamilyHasHelpAndTypeAndUniqueSeries() {
        let registry = MetricsRegistry(workers: 2)
        let metrics = generation(registry)
        metrics.worker(0).route(0).duration.record(microseconds: 1)
        var helped: Set<String> = []
        var typed: Set<String> = []
        var series: Set<String> = []
        for line in lines(registry) {
            let words = line.split(separator: " ", maxSplits: 3).map(String.init)
            if line.hasPrefix("# HELP ") {
                #expect(helped.insert(words[2]).inserted, "\(line)")
            } else if line.hasPrefix("# TYPE ") {
                #expect(helped.contains(words[2]))
                #expect(typed.insert(words[2]).inserted)
            } else {
                var name = String(line.prefix { $0 != "{" && $0 != " " })
                for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
                    name.removeLast(suffix.count)
                }
                #expect(typed.contains(name), "\(line)")
                #expect(series.insert(String(line.prefix { $0 != " " })).inserted, "\(line)")
                #expect(line.split(separator: " ").last.flatMap { Double($0) } != nil, "\(line)")
            }
        }
        #expect(typed.isSuperset(of: ["process_resident_memory_bytes", "moongate_reloads_total"]))
    }

    @Test func labelsAndHelpAreEscaped() {
        var text = PrometheusText()
        text.family("x", .counter, "a\\b\n\"c\"")
        text.sample([("l", "a\\b\n\"c\"")], 1 as UInt64)
        #expect(
            String(decoding: text.bytes, as: UTF8.self)
                == "# HELP x a\\\\b\\n\"c\"\n# TYPE x counter\nx{l=\"a\\\\b\\n\\\"c\\\"\"} 1\n")
    }

    @Test func processFiguresAreReal() {
        let status = ProcessStatus.read()
        #expect(status.residentBytes > 1 << 20)
        #expect(status.virtualBytes >= status.residentBytes)
        #expect(status.openFiles >= 3 && status.openFiles < status.maxOpenFiles)
        #expect(status.threads >= 1)
        let now = Double(CalendarTime.unixMillisecondsNow()) / 1000
        #expect(ProcessStatus.startTime() <= now && ProcessStatus.startTime() > now - 86_400)
    }

    @Test func reloadsAreCountedByResult() {
        let registry = MetricsRegistry(workers: 1)
        registry.process.generationPublished(7)
        registry.process.reloadSucceeded()
        registry.process.reloadFailed()
        let lines = lines(registry)
        #expect(lines.contains("moongate_reloads_total{result=\"success\"} 1"))
        #expect(lines.contains("moongate_reloads_total{result=\"failure\"} 1"))
        #expect(lines.contains("moongate_last_reload_failed 1"))
        #expect(lines.contains("moongate_generation 7"))
    }

    @Test func oneWriterAndOneReaderNeedNoLock() throws {
        let registry = MetricsRegistry(workers: 1)
        let metrics = generation(registry)
        let view = metrics.worker(0)
        let thread = try OSThread.start(name: "count") {
            for _ in 0..<50_000 { view.route(0).countGRPC(status: 0) }
        }
        for _ in 0..<5 { _ = registry.exposition() }
        thread.join()
        #expect(lines(registry).contains("moongate_requests_total{route=\"a\",grpc_status=\"0\"} 50000"))
        withExtendedLifetime(metrics) {}
    }
}
