import MoongateConfig
import Testing

@testable import Moongate

@Suite final class ForwardedHeadersTests {
    private let list = HeaderList()

    deinit { list.destroy() }

    private struct Outcome: Equatable {
        var fields: [String]
        var client: String?
    }

    /// Everybody is believed.
    private static let everybody = ["0.0.0.0/0", "::/0"]

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
            listener: .of("main"), listenerName: "main", peer: try #require(SocketAddress(remote)),
            local: try #require(SocketAddress("127.0.0.1:80")), tls: tls ? session : nil)
        var rules = try EdgeHeaderRules(
            ListenerConfig(
                name: "main", address: SocketAddressConfig(host: "", port: 1), forwarded: forwarded,
                requestID: requestID, neverIndex: neverIndex))
        defer { rules.free() }
        let isTrusted = rules.trusts(facts.peer)
        let client = isTrusted ? ForwardedHeaders.client(list, &rules) : nil
        let sender = ForwardedHeaders.Sender(facts, client: client, isTrusted: isTrusted)
        ForwardedHeaders.write(list, &rules, sender, number: 0xab)
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
            (1, "1.1.1.1,", nil), (1, "", nil), (2, "1.1.1.1,,", nil), (1, "1.1.1.1, fe80::1%lo", nil),
            (1, "1.1.1.1 2.2.2.2", nil), (1, "::ffff:1.2.3.4", "1.2.3.4:0"),
        ] as [(Int, String, String?)])
    func theClientIsSoManyPlacesFromTheEnd(hops: Int, text: String, client: String?) throws {
        #expect(
            try write([("x-forwarded-for", text)], .init(trusted: Self.everybody, trustedHops: hops)).client == client)
    }

    @Test(
        arguments: [
            // The peer, what is trusted, and whether the peer is.
            ("10.0.0.9:1", ["10.0.0.0/8"], true), ("11.0.0.9:1", ["10.0.0.0/8"], false),
            ("10.0.0.9:1", ["10.0.0.9"], true), ("10.0.0.8:1", ["10.0.0.9"], false),
            ("10.0.0.9:1", ["192.0.2.0/24", "10.0.0.0/31", "10.0.0.8/31"], true),
            ("[::ffff:10.0.0.9]:1", ["10.0.0.0/8"], true), ("10.0.0.9:1", ["::ffff:10.0.0.0/104"], true),
            ("[2001:db8::1]:1", ["2001:db8::/32"], true), ("[2001:db9::1]:1", ["2001:db8::/32"], false),
            ("[::a00:9]:1", ["10.0.0.0/8"], false), ("10.0.0.9:1", ["::/96"], false), ("10.0.0.9:1", [], false),
            ("10.0.0.9:1", ["0.0.0.0/0"], true), ("[::1]:1", ["0.0.0.0/0"], false), ("[::1]:1", ["::/0"], true),
        ] as [(String, [String], Bool)])
    func onlyPeersThatAreTrustedNameTheClient(peer: String, trusted: [String], isTrusted: Bool) throws {
        let rules = ForwardedConfig(trusted: trusted, trustedHops: 1)
        let outcome = try write([("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")], rules, remote: peer)
        #expect(outcome.client == (isTrusted ? "1.1.1.1:0" : nil))
        #expect(outcome.fields.contains("x-forwarded-proto: https") == isTrusted)
    }

    @Test(
        arguments: [
            ("1.1.1.1, 2.2.2.2", "2.2.2.2:0"), ("1.1.1.1, 2.2.2.2, 10.0.0.1", "2.2.2.2:0"),
            ("1.1.1.1, 2.2.2.2, 10.0.0.1, 10.0.0.2", "2.2.2.2:0"), ("10.0.0.7, 10.0.0.1", "10.0.0.7:0"),
            ("1.1.1.1, unknown, 10.0.0.1", nil), ("unknown", nil), ("", nil),
            (String(repeating: "10.0.0.1, ", count: 31) + "10.0.0.1", nil),
            ("2.2.2.2, " + String(repeating: "10.0.0.1, ", count: 30) + "10.0.0.1", "2.2.2.2:0"),
        ] as [(String, String?)])
    func withoutACountTheClientIsTheLastWhoIsNoTrustedProxy(text: String, client: String?) throws {
        #expect(try write([("x-forwarded-for", text)], ForwardedConfig(trusted: ["10.0.0.0/8"])).client == client)
    }

    @Test func aBlockThatIsNoneIsAFault() {
        #expect(throws: Diagnostic.self) { try write([], ForwardedConfig(trusted: ["10.0.0.1/8"], trustedHops: 1)) }
    }

    @Test func theCountGoesAcrossFields() throws {
        let fields = [("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "3.3.3.3")]
        #expect(try write(fields, ForwardedConfig(trusted: Self.everybody, trustedHops: 3)).client == "1.1.1.1:0")
    }

    @Test func trustedProxiesHaveTheWord() throws {
        let sent = [("x-forwarded-proto", "https"), ("x-forwarded-host", "front"), ("forwarded", "for=1.1.1.1")]
        #expect(
            try write(
                sent,
                ForwardedConfig(trusted: Self.everybody, trustedHops: 1, xForwardedFor: .off, xForwardedHost: .set)
            ).fields
                == ["x-forwarded-proto: https", "x-forwarded-host: front", "forwarded: for=1.1.1.1"])
    }

    @Test func replaceWritesTheClientAlone() throws {
        let sent = [("x-forwarded-for", "1.1.1.1, 2.2.2.2")]
        let rules = ForwardedConfig(xForwardedFor: .replace, xForwardedProto: .off)
        #expect(try write(sent, rules).fields == ["x-forwarded-for: 10.0.0.9"])
        var trusting = rules
        trusting.trusted = Self.everybody
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
        trusting.trusted = Self.everybody
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
