import Logging
import Testing

@testable import Moongate

@Suite struct ConnectionCensusTests {
    private let registry = MetricsRegistry(workers: 1)
    private let limiter: ConnectionLimiter

    init() {
        limiter = ConnectionLimiter(
            registry: registry, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func settings(
        _ connections: Int = .max, perAddress: Int = .max, name: String = "limiter",
        proxyProtocol: ProxyProtocolRules? = nil
    ) -> ListenerSettings {
        ListenerSettings(
            identity: .of(name), name: name, maxConcurrentStreams: 1, maxHeaderBytes: 1024, maxHeaderFields: 64,
            schedule: .init(), limits: ConnectionLimits(connections: connections, connectionsPerAddress: perAddress),
            tls: nil,
            proxyProtocol: proxyProtocol, forwardClientCertificate: nil)
    }

    private func admit(_ settings: ListenerSettings, _ address: String) throws -> ConnectionPermit? {
        guard case .permit(let permit) = limiter.admit(settings, try #require(SocketAddress(address))) else {
            return nil
        }
        return permit
    }

    @Test func aPlaceIsFreeWhenItsTicketGoes() throws {
        let two = settings(2)
        var kept = [try admit(two, "10.0.0.1:1"), try admit(two, "10.0.0.2:1")]
        #expect(kept.allSatisfy { $0 != nil })
        #expect(try admit(two, "10.0.0.3:1") == nil)
        #expect(try admit(settings(2, name: "other"), "10.0.0.3:1") != nil)
        kept.removeLast()
        #expect(try admit(two, "10.0.0.3:1") != nil)
    }

    @Test func addressesCountWithoutPortsAndIPv6ByNetwork() throws {
        let one = settings(perAddress: 1)
        let kept = [
            try admit(one, "10.0.0.1:1"), try admit(one, "10.0.0.2:1"), try admit(one, "[2001:db8:0:1::1]:1"),
            try admit(one, "[2001:db8:0:2::1]:1"),
        ]
        #expect(kept.allSatisfy { $0 != nil })
        #expect(try admit(one, "10.0.0.1:2") == nil)
        #expect(try admit(one, "[2001:db8:0:1:ffff::2]:9") == nil)
        withExtendedLifetime(kept) {}
    }

    @Test func behindAProxyTheClientCounts() throws {
        let rules = ProxyProtocolRules(isRequired: true, trusted: nil, timeout: 1)
        let one = settings(perAddress: 1, proxyProtocol: rules)
        let proxied = [try admit(one, "10.0.0.1:1"), try admit(one, "10.0.0.1:2"), try admit(one, "10.0.0.1:3")]
        let (first, second) = (try #require(SocketAddress("192.0.2.1:5")), try #require(SocketAddress("192.0.2.2:5")))
        #expect(try #require(proxied[0]).move(to: first, one, row: 0, at: 1))
        #expect(try #require(proxied[1]).move(to: second, one, row: 0, at: 1))
        #expect(try #require(proxied[2]).move(to: second, one, row: 0, at: 1) == false)
        let counters = registry.listeners.entry("limiter")
        withExtendedLifetime(counters) {
            limiter.refused(one, first, .connectionsPerAddress, row: limiter.acceptorRow, at: 2)
            #expect(ListenerCells(row: counters.block.row(1)).refused(.connectionsPerAddress).value == 1)
        }
    }

    @Test func refusalsAreToldNowAndThen() {
        var log = RefusalPace()
        #expect(log.add(at: 1_000_000_000) == 1)
        #expect((0..<5).map { log.add(at: 2_000_000_000 + $0) } == [0, 0, 0, 0, 0])
        #expect(log.add(at: 11_000_000_000) == 6)
    }
}
