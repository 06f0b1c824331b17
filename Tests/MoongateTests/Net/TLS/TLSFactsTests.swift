import COpenSSL
import MoongateConfig
import Testing

@testable import Moongate

/// What policies read from a handshake, on both sides of real ones.
struct TLSFactsTests {
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    private func pair(_ options: TLSTestClient.Options = .init(serverName: "ec.example")) throws -> TLSPair {
        let context = try TLSServerContext(
            listener: "main", config: .init(certificates: [certificates.config("ec")]), ticketKeys: TicketKeys(),
            contents: TestCertificates.read)
        return try TLSPair(context, options)
    }

    @Test func serverKnowsItsOwnCertificateAndNoneOfTheClient() throws {
        var pair = try pair()
        defer { pair.server.close() }
        let facts = try #require(pair.server.session).facts
        let own = try #require(facts.localCertificate)
        #expect(own.subject == "CN=ec.common" && own.uriNames == [])
        #expect(own.dnsNames == ["ec.example", "*.wild.example"])
        #expect(own.extensionOIDs.contains("2.5.29.17"))
        #expect(facts.cipherID >> 8 == 0x13)
        #expect(facts.peerCertificate == nil && facts.peerChain.isEmpty && !facts.isPeerValidated)
    }

    /// The client's side of the handshake has a peer certificate: the server's.
    @Test func peerCertificateIsReadWhereThereIsOne() throws {
        var pair = try pair()
        defer { pair.server.close() }
        let facts = HandshakeFacts(pair.client.ssl, owner: pair.client)
        let own = try #require(pair.server.session?.facts.localCertificate)
        let peer = try #require(facts.peerCertificate)
        #expect(peer.subject == "CN=ec.common" && peer.issuer == "CN=ec.common" && peer.commonName == "ec.common")
        #expect(peer.organizationNames == [])
        #expect(peer.digest.count == 64 && peer.digest == own.digest)
        #expect(!peer.serialNumber.isEmpty && peer.serialNumber.allSatisfy { "0123456789abcdef".contains($0) })
        #expect(peer.expiration - peer.validFrom == 30 * 86400)
        #expect(peer.urlEncodedPEM.hasPrefix("-----BEGIN%20CERTIFICATE-----%0A") && !peer.urlEncodedPEM.contains("\n"))
        #expect(facts.peerChain.map(\.digest) == [peer.digest])
        // Nobody asked OpenSSL to verify it.
        #expect(!facts.isPeerValidated)
    }

    @Test func resumedSessionStillNamesTheCertificate() throws {
        let keys = TicketKeys()
        let context = try TLSServerContext(
            listener: "main", config: .init(certificates: [certificates.config("ec")]), ticketKeys: keys,
            contents: TestCertificates.read)
        var first = try TLSPair(context, .init(maximumVersion: TLS1_2_VERSION))
        defer { first.server.close() }
        let session = try #require(SSL_get1_session(first.client.ssl))
        defer { SSL_SESSION_free(session) }
        var second = try TLSPair(context, .init(maximumVersion: TLS1_2_VERSION, session: session))
        defer { second.server.close() }
        let server = try #require(second.server.session)
        #expect(server.isResumed)
        #expect(server.facts.localCertificate?.subject == "CN=ec.common")
        #expect(!server.facts.sessionID.isEmpty)
    }

    @Test func gettersOfPoliciesReadThem() throws {
        var pair = try pair()
        defer { pair.server.close() }
        let names = [
            "subjectLocalCertificate", "ciphersuiteId", "sha256PeerCertificateDigest", "serialNumberPeerCertificate",
            "issuerPeerCertificate", "subjectPeerCertificate", "urlEncodedPemEncodedPeerCertificate",
            "urlEncodedPemEncodedPeerCertificateChain", "serialNumberPeerCertificateIssuer",
            "sha256PeerCertificateIssuerDigest", "validFromPeerCertificate", "expirationPeerCertificate",
            "peerCertificatePresented", "peerCertificateValidated", "parsedSubjectPeerCertificate",
        ]
        let lists = [
            "uriSanLocalCertificate", "dnsSansLocalCertificate", "uriSanPeerCertificate", "dnsSansPeerCertificate",
            "oidsPeerCertificate",
        ]
        let script = """
            function on_request(h)
              local ssl = h:streamInfo():downstreamSslConnection()
              local out = {}
              for _, name in ipairs{"\(names.joined(separator: "\",\""))"} do
                out[#out + 1] = name .. "=" .. tostring(ssl[name](ssl))
              end
              for _, name in ipairs{"\(lists.joined(separator: "\",\""))"} do
                out[#out + 1] = name .. "=" .. table.concat(ssl[name](ssl), ",")
              end
              local subject = ssl:parsedSubjectPeerCertificate()
              if subject then out[#out + 1] = subject:commonName() .. #subject:organizationName() end
              h:headers():add("out", table.concat(out, " "))
              h:headers():add("same", tostring(h:connection():ssl() == ssl))
            end
            """
        func read(_ facts: TLSFacts) throws -> String {
            let tls = ConnectionFacts.TLS(version: "TLSv1.3", cipher: "C", serverName: "n", details: facts)
            let bench = try PolicyBench(["p.lua": script], [.init("p.lua")], tls: tls)
            let (verdict, call) = try bench.request()
            defer { call.end() }
            #expect(verdict == .proceed && call.request["same"] == "true", "\(bench.log.all)")
            return try #require(call.request["out"])
        }
        let server = try read(try #require(pair.server.session).facts)
        #expect(server.contains("subjectLocalCertificate=CN=ec.common ciphersuiteId=0x13"))
        #expect(server.contains("sha256PeerCertificateDigest= serialNumberPeerCertificate= issuerPeerCertificate= "))
        #expect(server.contains("validFromPeerCertificate=0 expirationPeerCertificate=0 "))
        #expect(server.contains("peerCertificatePresented=false "))
        #expect(server.contains("parsedSubjectPeerCertificate=nil uriSanLocalCertificate= "))
        let client = try read(HandshakeFacts(pair.client.ssl, owner: pair.client))
        #expect(client.contains("subjectPeerCertificate=CN=ec.common "))
        #expect(client.contains("urlEncodedPemEncodedPeerCertificate=-----BEGIN%20"))
        #expect(client.contains("peerCertificatePresented=true peerCertificateValidated=false"))
        #expect(client.contains("dnsSansPeerCertificate=ec.example,*.wild.example oidsPeerCertificate=2.5.29."))
        #expect(client.hasSuffix(" ec.common0"))
    }
}
