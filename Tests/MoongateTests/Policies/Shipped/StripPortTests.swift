import Testing

@testable import Moongate

@Suite struct StripPortTests {
    private func authority(_ text: String, _ settings: String = "{}") throws -> String? {
        let (verdict, call) = try ShippedPolicy.bench("strip-port", settings).request(
            ShippedPolicy.request([":authority": text]))
        defer { call.end() }
        #expect(verdict == .proceed)
        return call.request[":authority"]
    }

    @Test(arguments: [
        ("api.example.com:443", "api.example.com"), ("api.example.com", "api.example.com"), ("[::1]:443", "[::1]"),
        ("[::1]", "[::1]"), ("10.0.0.1:80", "10.0.0.1"), ("::1", "::1"), ("fe80::1:443", "fe80::1:443"),
        ("host:", "host"), ("[::1]:", "[::1]"), ("host:http", "host:http"), ("[::1]x:1", "[::1]x:1"),
    ])
    func thePortGoesAndAnAddressStays(given: String, expected: String) throws {
        #expect(try authority(given) == expected)
    }

    /// The bench's listener is on port 8080.
    @Test(arguments: [
        ("a.com:8080", "a.com"), ("a.com:443", "a.com:443"), ("[::1]:8080", "[::1]"), ("a.com:", "a.com:"),
        ("a.com:08080", "a.com:08080"), ("a.com", "a.com"),
    ])
    func onlyTheListenersPortGoesIfAsked(given: String, expected: String) throws {
        #expect(try authority(given, "{only_listener_port: true}") == expected)
    }

    @Test func aRequestWithoutAuthorityPasses() throws {
        let headers = PolicyBench.grpc.filter { $0.0 != ":authority" }
        let (verdict, call) = try ShippedPolicy.bench("strip-port").request(headers)
        defer { call.end() }
        #expect(verdict == .proceed)
        #expect(call.request[":authority"] == nil)
    }

    @Test func theSettingIsABoolean() throws {
        let unhealthyReason = try ShippedPolicy.unhealthyReason("strip-port", "{only_listener_port: 8080}")
        #expect(unhealthyReason == "moongate.yaml:7:3: policy strip-port: only_listener_port must be true or false")
    }
}
