import Testing

@testable import Moongate

@Suite struct AdminHostsTests {
    private let hosts = AdminHosts(["edge.internal", "*.ops.example"])

    @Test(arguments: [
        "localhost", "localhost:", "localhost:9901",
        "LOCALHOST.", "a.localhost", "127.0.0.1", "127.0.0.1:9901", "10.1.2.3:9901",
        "[::1]", "[::1]:9901", "[2001:db8::7]:1", "edge.internal", "Edge.Internal.:9901", "a.ops.example",
    ])
    func addressesLoopbackAndConfiguredNamesPass(field: String) { #expect(hosts.verdict(field) == .accepted) }

    @Test(arguments: [
        "evil.example", "evil.example:9901", "localhost.evil.example", "127.0.0.1.evil.example",
        "edge.internal.evil.example",
        "ops.example", "x", "2130706433", "0x7f000001", "127.1", "notlocalhost", "xedge.internal",
    ])
    func otherNamesAreUnknown(field: String) { #expect(hosts.verdict(field) == .unknown) }

    @Test(arguments: [
        "", ":9901", "a b", "a,b", "user@localhost", "localhost:x", "localhost:123456", "[::1",
        "[localhost]",
        "::1", "[::1]x", "localhost/", "[127.0.0.1]", ".", "localhost\u{9b}",
    ])
    func whatIsNoHostIsMalformed(field: String) {
        #expect(hosts.verdict(field) == .malformed)
    }

    @Test func aRequestByAnotherNameIsMisdirected() {
        let endpoints = AdminEndpoints(
            metrics: { Array("m 1\n".utf8) }, readiness: { .ready }, hosts: { [hosts] in hosts })
        func status(_ path: String, _ host: String?) -> AdminStatus {
            endpoints.answer(AdminRequest(method: "GET", path: path, keepAlive: true, host: host)).status
        }
        for path in ["/metrics", "/live", "/ready", "/policies", "/nothing"] {
            #expect(status(path, "evil.example") == .misdirected)
            #expect(status(path, "a b") == .badRequest)
        }
        #expect(status("/metrics", "edge.internal") == .ok)
        // HTTP/1.0 needs no host, and no browser speaks it.
        #expect(status("/metrics", nil) == .ok)
    }
}
