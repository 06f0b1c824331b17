import MoongateConfig
import Testing

@testable import Moongate

@Suite final class ForwardedHeadersTests {
    private var list = HeaderList()

    deinit { list.destroy() }

    private struct Outcome: Equatable {
        var fields: [String]
        var client: String?
    }

    /// What the edge makes of a request with these fields, from a peer at 10.0.0.9.
    private func write(
        _ fields: [(String, String)], _ forwarded: ForwardedConfig? = nil, _ requestID: RequestIDMode = .off,
        remote: String = "10.0.0.9:5000", tls: Bool = false, neverIndex: [String] = []
    ) throws -> Outcome {
        list.reset()
        list.add(":authority", "api.example.com")
        for (name, value) in fields {
            name.withBytes { name in value.withBytes { list.add(name: name, value: $0) } }
        }
        let session = ConnectionFacts.TLS(version: "TLSv1.3", cipher: "", serverName: "", details: nil)
        let facts = ConnectionFacts(
            listener: .of("main"), listenerName: "main", remote: try #require(SocketAddress(remote)),
            local: try #require(SocketAddress("127.0.0.1:80")), tls: tls ? session : nil)
        var rules = EdgeHeaderRules(
            ListenerConfig(
                name: "main", address: SocketAddressConfig(host: "", port: 1), forwarded: forwarded,
                requestID: requestID, neverIndex: neverIndex))
        defer { rules.free() }
        let client = ForwardedHeaders.write(&list, &rules, peer: facts, number: 0xab)
        return withExtendedLifetime(facts) {
            Outcome(
                fields: (1..<list.count).map { "\(list[$0].name.string): \(list[$0].value.string)" },
                client: client?.text.string)
        }
    }

    @Test func R12byDefaultThePeerIsAppendedAndTheProtocolSet() throws {
        #expect(try write([]).fields == ["x-forwarded-for: 10.0.0.9", "x-forwarded-proto: http"])
        #expect(try write([], tls: true).fields == ["x-forwarded-for: 10.0.0.9", "x-forwarded-proto: https"])
        #expect(
            try write([], remote: "[2001:db8::1]:80").fields
                == ["x-forwarded-for: 2001:db8::1", "x-forwarded-proto: http"])
    }

    @Test func whatUntrustedPeersSayIsNotTakenForTruth() throws {
        let outcome = try write([
            ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil"),
            ("forwarded", "for=1.1.1.1"),
        ])
        #expect(outcome.fields == ["x-forwarded-for: 1.1.1.1, 10.0.0.9", "x-forwarded-proto: http"])
        #expect(outcome.client == nil)
    }

    @Test func severalFieldsBecomeOne() throws {
        let fields = [("x-forwarded-for", "1.1.1.1"), ("a", "b"), ("x-forwarded-for", "2.2.2.2")]
        #expect(
            try write(fields).fields == [
                "x-forwarded-for: 1.1.1.1, 2.2.2.2, 10.0.0.9", "a: b", "x-forwarded-proto: http",
            ])
    }

    @Test(
        arguments: [
            (1, "1.1.1.1, 2.2.2.2", "2.2.2.2:0"), (2, "1.1.1.1, 2.2.2.2", "1.1.1.1:0"), (3, "1.1.1.1, 2.2.2.2", nil),
            (1, "1.1.1.1,[2001:db8::1]:443", "[2001:db8::1]:443"), (1, "2001:db8::2", "[2001:db8::2]:0"),
            (1, "[2001:db8::2]", "[2001:db8::2]:0"), (1, "9.9.9.9:80 ", "9.9.9.9:80"), (1, "unknown", nil),
            (1, "1.1.1.1,", nil), (1, "", nil), (0, "1.1.1.1", nil),
        ] as [(Int, String, String?)])
    func theClientIsSoManyPlacesFromTheEnd(hops: Int, text: String, client: String?) throws {
        #expect(try write([("x-forwarded-for", text)], ForwardedConfig(trustedHops: hops)).client == client)
    }

    @Test func theCountGoesAcrossFields() throws {
        let fields = [("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "3.3.3.3")]
        #expect(try write(fields, ForwardedConfig(trustedHops: 3)).client == "1.1.1.1:0")
    }

    @Test func trustedProxiesHaveTheWord() throws {
        let sent = [("x-forwarded-proto", "https"), ("x-forwarded-host", "front"), ("forwarded", "for=1.1.1.1")]
        #expect(
            try write(sent, ForwardedConfig(trustedHops: 1, xForwardedFor: .off, xForwardedHost: .set)).fields
                == ["x-forwarded-proto: https", "x-forwarded-host: front", "forwarded: for=1.1.1.1"])
    }

    @Test func replaceWritesTheClientAlone() throws {
        let sent = [("x-forwarded-for", "1.1.1.1, 2.2.2.2")]
        let rules = ForwardedConfig(xForwardedFor: .replace, xForwardedProto: .off)
        #expect(try write(sent, rules).fields == ["x-forwarded-for: 10.0.0.9"])
        var trusting = rules
        trusting.trustedHops = 1
        #expect(try write(sent, trusting).fields == ["x-forwarded-for: 2.2.2.2"])
    }

    @Test func passLeavesEverything() throws {
        let sent = [
            ("x-forwarded-for", "a"), ("x-forwarded-proto", "b"), ("x-forwarded-host", "c"), ("forwarded", "d"),
        ]
        let rules = ForwardedConfig(
            xForwardedFor: .pass, xForwardedProto: .pass, xForwardedHost: .pass, forwarded: .pass)
        #expect(try write(sent, rules).fields == sent.map { "\($0.0): \($0.1)" })
    }

    @Test func forwardedQuotesWhatHasToBe() throws {
        let rules = ForwardedConfig(xForwardedFor: .off, xForwardedProto: .off, forwarded: .set)
        #expect(
            try write([("forwarded", "for=evil")], rules, remote: "[2001:db8::1]:80").fields
                == [#"forwarded: for="[2001:db8::1]";proto=http;host="api.example.com""#])
        var trusting = rules
        trusting.trustedHops = 1
        #expect(
            try write([("forwarded", "for=1.1.1.1")], trusting, tls: true).fields
                == [#"forwarded: for=1.1.1.1, for=10.0.0.9;proto=https;host="api.example.com""#])
    }

    @Test func requestIDs() throws {
        let rules = ForwardedConfig(xForwardedFor: .off, xForwardedProto: .off)
        let own = "x-request-id: 00000000000000ab"
        #expect(try write([], rules, .replace).fields == [own])
        #expect(try write([("x-request-id", "theirs")], rules, .replace).fields == [own])
        #expect(try write([], rules, .keep).fields == [own])
        #expect(try write([("x-request-id", "theirs")], rules, .keep).fields == ["x-request-id: theirs"])
        #expect(try write([("x-request-id", "theirs")], rules, .off).fields == ["x-request-id: theirs"])
        #expect(try write([], rules, .off).fields == [])
    }

    @Test func configuredSecretsAreMarked() throws {
        _ = try write([("x-session", "s"), ("a", "b"), ("x-session", "t")], neverIndex: ["x-session", "x-none"])
        #expect((1...3).map { list[$0].neverIndexed } == [true, false, true])
    }
}
