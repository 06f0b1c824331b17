import Testing

@testable import Moongate

/// The bench's client is 10.1.2.3.
@Suite struct IPAccessTests {
    @Test(arguments: [
        ("{allow: [10.0.0.0/8]}", true), ("{allow: [10.1.2.3]}", true), ("{allow: [10.1.2.4, \"::1\"]}", false),
        ("{allow: []}", false), ("{deny: [10.1.2.3/32]}", false), ("{deny: [192.168.0.0/16, \"2001:db8::/32\"]}", true),
        ("{allow: [10.0.0.0/8], deny: [10.1.0.0/16]}", false), ("{allow: [10.1.2.3], deny: [10.9.0.0/16]}", true),
        ("{allow: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}", false),
        ("{allow: [{cidr: 10.0.0.0/8, except: [10.2.0.0/16]}]}", true),
        ("{allow: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}, 10.1.2.3]}", true),
        ("{deny: [{cidr: 10.0.0.0/8, except: [10.1.2.0/24]}]}", true),
        ("{deny: [{cidr: 10.0.0.0/8, except: [10.1.2.3, 10.1.2.4]}, 10.1.2.0/24]}", false),
        ("{deny: [{cidr: 10.0.0.0/8}]}", false),
    ])
    func theAddressDecides(settings: String, isAllowed: Bool) throws {
        let (verdict, call) = try ShippedPolicy.bench("ip-access", settings).request()
        defer { call.end() }
        #expect(verdict == (isAllowed ? .proceed : .reply))
        #expect(call.response["grpc-status"] == (isAllowed ? nil : "7"))
    }

    @Test func othersThanGRPCGet403() throws {
        let bench = try ShippedPolicy.bench("ip-access", "{allow: [192.0.2.1]}")
        let (verdict, call) = try bench.request(ShippedPolicy.request(["content-type": "text/plain"]))
        defer { call.end() }
        #expect(verdict == .reply)
        #expect(call.response[":status"] == "403")
        #expect(call.body == "your address is not allowed here")
    }

    @Test(arguments: [
        ("{}", "allow or deny is missing"), ("{allow: 3}", "allow must be a list, or the path of a file"),
        (
            "{allow: 10.0.0.0/8}",
            "allow: moon.networks: argument 1 is a network: write a list of networks, or the path of a file"
        ),
        (
            "{deny: [{cidr: 10.0.0.0/8, expect: []}]}",
            "deny: moon.networks: network 1 has the unknown key \"expect\" (known: cidr, except)"
        ),
    ])
    func mistakesAreRefused(settings: String, unhealthyReason: String) throws {
        #expect(
            try ShippedPolicy.unhealthyReason("ip-access", settings)
                == "moongate.yaml:7:3: policy ip-access: \(unhealthyReason)")
    }

    @Test(arguments: [
        "{allow: [10.0.0.0/33]}", "{deny: [10.0.0.256]}", "{deny: [{except: []}]}", "{allow: [{cidr: x}]}",
    ])
    func malformedNetworksAreRefused(settings: String) throws {
        let unhealthyReason = try ShippedPolicy.unhealthyReason("ip-access", settings)
        #expect(unhealthyReason.hasPrefix("moongate.yaml:7:3: policy ip-access: "))
    }
}
