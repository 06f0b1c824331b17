import Testing

@testable import Moongate
@testable import MoongateConfig

/// A reload puts every key of an upstream in force: whatever was there before, an upstream that lives comes out as one that
/// is made from the new configuration. The keys are those of the schema.
@Suite struct UpstreamReloadTests {
    /// How it is seen that a change of a key is in force.
    private enum Probe {
        /// Two upstreams, without and with the change, as they stand in the file.
        case change(String, String)
        /// The key decides only whether another one is accepted.
        case check
        /// Read while the configuration is loaded; an end-to-end test sees the effect.
        case file(test: String)
    }

    private static let endpoints = #"endpoints: ["127.0.0.1:1", "127.0.0.1:2"]"#

    /// The other keys stay as they are.
    private static func set(_ value: String, from old: String = "", with more: String = "") -> Probe {
        let parts = { (last: String) in [endpoints, more, last].filter { !$0.isEmpty }.joined(separator: ", ") }
        return .change(parts(old), parts(value))
    }

    private static func health(_ value: String) -> Probe {
        set("health_check: {tcp: {}, \(value)}", from: "health_check: {tcp: {}}")
    }

    private static func outlier(_ value: String) -> Probe {
        set("outlier_detection: {\(value)}", from: "outlier_detection: {}")
    }

    private static func tls(_ value: String) -> Probe { set("tls: {\(value)}", from: "tls: {}") }

    private static func hash(_ value: String) -> Probe {
        set("hash_on: [\(value)]", from: "hash_on: [{header: x-a}]", with: "balance: maglev")
    }

    private static let probes: [String: Probe] = [
        "endpoints": .change("endpoints: [\"127.0.0.1:1\"]", "endpoints: [\"127.0.0.1:3\"]"),
        "endpoints.address": .change(
            "endpoints: [{address: \"127.0.0.1:1\"}]", "endpoints: [{address: \"127.0.0.1:3\"}]"),
        "endpoints.dns_srv": .change(
            "endpoints: [{dns_srv: _a._tcp.a.test}]", "endpoints: [{dns_srv: _a._tcp.b.test}]"),
        "endpoints.weight": .change(endpoints, "endpoints: [{address: \"127.0.0.1:1\", weight: 9}, \"127.0.0.1:2\"]"),
        "endpoints.priority": .change(
            endpoints, "endpoints: [\"127.0.0.1:1\", {address: \"127.0.0.1:2\", priority: 1}]"),
        "endpoints_file": .file(test: "test_endpoint_files.py"),
        "balance": set("balance: least_request"),
        "hash_on": set("hash_on: [{header: x-a}]", with: "balance: maglev"),
        "hash_on.header": hash("{header: x-b}"),
        "hash_on.cookie": hash("{cookie: {name: a}}"),
        "hash_on.cookie.name": set(
            "hash_on: [{cookie: {name: b}}]", from: "hash_on: [{cookie: {name: a}}]", with: "balance: maglev"),
        "hash_on.cookie.ttl": set(
            "hash_on: [{cookie: {name: a, ttl: 1h}}]", from: "hash_on: [{cookie: {name: a}}]", with: "balance: maglev"),
        "hash_on.cookie.path": set(
            "hash_on: [{cookie: {name: a, ttl: 1h, path: /b}}]", from: "hash_on: [{cookie: {name: a, ttl: 1h}}]",
            with: "balance: maglev"),
        "hash_on.query_parameter": hash("{query_parameter: q}"),
        "hash_on.source_address": hash("{source_address: true}"),
        "ring_hash": set("ring_hash: {minimum_ring_size: 2048}", with: "balance: ring_hash"),
        "ring_hash.minimum_ring_size": set("ring_hash: {minimum_ring_size: 2048}", with: "balance: ring_hash"),
        "ring_hash.maximum_ring_size": set("ring_hash: {maximum_ring_size: 4096}", with: "balance: ring_hash"),
        "maglev": set("maglev: {table_size: 65537}", from: "maglev: {table_size: 5003}", with: "balance: maglev"),
        "maglev.table_size": set(
            "maglev: {table_size: 65537}", from: "maglev: {table_size: 5003}", with: "balance: maglev"),
        "connect_timeout": set("connect_timeout: 7s"),
        "dns_refresh": set("dns_refresh: 70s"),
        "health_check": set("health_check: {tcp: {}}"),
        "health_check.grpc": set("health_check: {grpc: {}}", from: "health_check: {tcp: {}}"),
        "health_check.grpc.service": set("health_check: {grpc: {service: a.B}}", from: "health_check: {grpc: {}}"),
        "health_check.grpc.authority": set(
            "health_check: {grpc: {authority: a.test}}", from: "health_check: {grpc: {}}"),
        "health_check.http": set("health_check: {http: {path: /a}}", from: "health_check: {tcp: {}}"),
        "health_check.http.path": set("health_check: {http: {path: /b}}", from: "health_check: {http: {path: /a}}"),
        "health_check.http.host": set(
            "health_check: {http: {path: /a, host: a.test}}", from: "health_check: {http: {path: /a}}"),
        "health_check.http.expected_statuses": set(
            "health_check: {http: {path: /a, expected_statuses: [204]}}", from: "health_check: {http: {path: /a}}"),
        "health_check.tcp": set("health_check: {tcp: {}}", from: "health_check: {grpc: {}}"),
        "health_check.interval": health("interval: 11s"),
        "health_check.jitter_percent": health("jitter_percent: 11"),
        "health_check.no_traffic_interval": health("no_traffic_interval: 60s"),
        "health_check.timeout": health("timeout: 2s"),
        "health_check.healthy_threshold": health("healthy_threshold: 4"),
        "health_check.unhealthy_threshold": health("unhealthy_threshold: 5"),
        "outlier_detection": set("outlier_detection: {}"),
        "outlier_detection.consecutive_errors": outlier("consecutive_errors: 9"),
        "outlier_detection.error_statuses": outlier("error_statuses: [internal]"),
        "outlier_detection.consecutive_local_errors": outlier("consecutive_local_errors: 9"),
        "outlier_detection.interval": outlier("interval: 11s"),
        "outlier_detection.base_ejection_time": outlier("base_ejection_time: 31s"),
        "outlier_detection.max_ejection_time": outlier("max_ejection_time: 301s"),
        "outlier_detection.max_ejection_percent": outlier("max_ejection_percent: 11"),
        "panic_threshold": set("panic_threshold: 60"),
        "slow_start": set("slow_start: {}"),
        "slow_start.window": set("slow_start: {window: 40s}", from: "slow_start: {}"),
        "slow_start.min_weight_percent": set("slow_start: {min_weight_percent: 20}", from: "slow_start: {}"),
        "connection": set("connection: {max_age: 1h}"),
        "connection.max_age": set("connection: {max_age: 2h}", from: "connection: {max_age: 1h}"),
        "connection.max_idle": set("connection: {max_idle: 10m}", from: "connection: {max_age: 1h}", with: ""),
        "connection.keepalive": set("connection: {keepalive: {interval: 10m}}"),
        "connection.keepalive.interval": set(
            "connection: {keepalive: {interval: 11m}}", from: "connection: {keepalive: {interval: 10m}}"),
        "connection.keepalive.timeout": set(
            "connection: {keepalive: {interval: 10m, timeout: 9s}}", from: "connection: {keepalive: {interval: 10m}}"),
        "connection.keepalive.allow_frequent": .check,
        "connection.tcp_user_timeout": set("connection: {tcp_user_timeout: 33s}"),
        "limits": set("limits: {max_requests: 10}"),
        "limits.max_connections": set("limits: {max_connections: 11}"),
        "limits.max_pending_requests": set("limits: {max_pending_requests: 12}"),
        "limits.max_requests": set("limits: {max_requests: 13}"),
        "limits.max_retries": set("limits: {max_retries: 14}"),
        "limits.retry_budget": set("limits: {retry_budget: {}}"),
        "limits.retry_budget.percent": set(
            "limits: {retry_budget: {percent: 21}}", from: "limits: {retry_budget: {}}"),
        "limits.retry_budget.min_concurrency": set(
            "limits: {retry_budget: {min_concurrency: 5}}", from: "limits: {retry_budget: {}}"),
        "tls": set("tls: {}"),
        "tls.ca": tls("ca: a.crt"),
        "tls.crl": set("tls: {ca: a.crt, crl: a.crl}", from: "tls: {ca: a.crt}"),
        "tls.server_name": tls("server_name: a.test"),
        "tls.names": tls("names: [a.test]"),
        "tls.certificate": tls("certificate: a.crt, key: a.key"),
        "tls.key": set("tls: {certificate: a.crt, key: b.key}", from: "tls: {certificate: a.crt, key: a.key}"),
        "tls.insecure_skip_verify": tls("insecure_skip_verify: true"),
        "tls.minimum_version": tls("minimum_version: \"1.3\""),
        "tls.maximum_version": tls("maximum_version: \"1.2\""),
        "tls.ciphers": tls("ciphers: [TLS_AES_128_GCM_SHA256]"),
        "tls.curves": tls("curves: [X25519]"),
    ]

    @Test func everyKeyOfTheSchemaHasAProbe() {
        let keys = Set(Self.keys(of: ValueType<[UpstreamConfig]>.upstreams.shape, prefix: ""))
        #expect(keys.count > 60)
        #expect(keys.subtracting(Self.probes.keys).isEmpty, "keys without a probe")
        #expect(Set(Self.probes.keys).subtracting(keys).isEmpty, "probes without a key")
    }

    @Test(arguments: probes.keys.sorted()) func isInForceAfterAReload(_ key: String) throws {
        guard case .change(let before, let after) = try #require(Self.probes[key]) else { return }
        let (old, new) = (try Self.config(before), try Self.config(after))
        let world = try World()
        defer { world.resolver.stop() }
        let (asOld, asNew) = (world.fresh(old), world.fresh(new))
        #expect(asOld != asNew, "the probe shows nothing")
        #expect(world.reloaded(from: old, to: new) == asNew)
        // Taken back, or the key removed.
        #expect(world.reloaded(from: new, to: old) == asOld)
    }

    @Test func onlyWhatHasToMakesNewEndpoints() throws {
        let old = try Self.config(Self.endpoints)
        for (living, change) in [
            (true, "balance: random"), (true, "panic_threshold: 3"), (true, "limits: {max_connections: 3}"),
            (true, "connection: {tcp_user_timeout: 20s}"), (false, "connect_timeout: 1s"),
            (false, "limits: {max_requests: 3}"),
            (false, "connection: {max_age: 1h}"), (false, "tls: {}"),
        ] {
            let new = try Self.config("\(Self.endpoints), \(change)")
            #expect((old.endpointDesign == new.endpointDesign) == living, "\(change)")
        }
    }

    @Test func anotherNameOfTheSameAddressIsAnotherEndpoint() throws {
        let shared = SharedUpstream(name: "a")
        let address = try #require(SocketAddress(host: "127.0.0.1", port: 1))
        let one = shared.join(address, host: "one.test")
        #expect(shared.join(address, host: "one.test") === one)
        let two = shared.join(address, host: "two.test")
        #expect(two !== one && two.host == "two.test")
        shared.leave(one)
        shared.leave(one)
        #expect(shared.members.map(\.host) == ["two.test"])
    }

    // MARK: Schema

    private static func keys(of shape: Shape, prefix: String) -> [String] {
        switch shape {
        case .alwaysTrue, .integer, .text, .choice, .anyMapping: []
        case .list(let element, _), .dictionary(let element, _), .singleton(let element, _):
            keys(of: element, prefix: prefix)
        case .either(let shapes): shapes.flatMap { keys(of: $0, prefix: prefix) }
        case .mapping(let mapping):
            mapping.fields.flatMap { field in
                [prefix + field.key] + keys(of: field.shape, prefix: prefix + field.key + ".")
            }
        }
    }

    private static func config(_ upstream: String) throws -> UpstreamConfig {
        let text = """
            listeners: [{name: a, address: "127.0.0.1:1"}]
            upstreams: {a: {\(upstream)}}
            routes: [{name: r, upstream: a}]
            """
        return try #require(try ConfigurationParser.parse(text, file: "/etc/moongate/moongate.yaml").upstreams.first)
    }

    // MARK: Upstreams

    private struct World {
        let services: UpstreamServices
        let resolver: Resolver

        init() throws {
            let dead = try #require(SocketAddress("127.0.0.1:1"))
            resolver = try Resolver(
                DNSSettings(servers: [dead], timeout: 1_000_000_000, attempts: 1), resolverLog: .silent)
            services = UpstreamServices(loop: try EventLoop(), shared: ConnectionShared(), resolver: resolver)
        }

        func fresh(_ config: UpstreamConfig) -> [String] {
            let shared = SharedUpstream(name: "a")
            return describe(Upstream(config, tls: nil, services: services, shared: shared, worker: 0), shared)
        }

        func reloaded(from old: UpstreamConfig, to new: UpstreamConfig) -> [String] {
            let shared = SharedUpstream(name: "a")
            let upstream = Upstream(old, tls: nil, services: services, shared: shared, worker: 0)
            upstream.update(new, tls: nil)
            return describe(upstream, shared)
        }

        private func describe(_ upstream: Upstream, _ shared: SharedUpstream) -> [String] {
            let limits = [shared.connections, shared.pending, shared.requests].map { "\($0.bound)" }
            let retries = [shared.overflow(.retries), "\(shared.config)"]
            return limits + retries + parts(of: upstream, "upstream")
        }

        /// What differs between any two upstreams.
        private static let volatile: Set<String> = ["balancer", "random", "recoveredAt", "seenHealth", "warmsSince"]

        /// Every value within, but objects of others and addresses.
        private func parts(of value: Any, _ label: String) -> [String] {
            let mirror = Mirror(reflecting: value)
            if mirror.displayStyle == .class, !(value is Upstream || value is Endpoint || value is ResolvedHost) {
                return []
            }
            let type = "\(type(of: value))"
            if type.contains("Pointer") || type.contains("Unmanaged") || type.contains("->") {
                return mirror.displayStyle == .optional ? ["\(label): \(mirror.children.isEmpty)"] : []
            }
            guard !mirror.children.isEmpty else { return ["\(label): \(value)"] }
            return mirror.children.enumerated().flatMap { index, child -> [String] in
                let name = child.label ?? "\(index)"
                return World.volatile.contains(name) ? [] : parts(of: child.value, "\(label).\(name)")
            }
        }
    }
}
