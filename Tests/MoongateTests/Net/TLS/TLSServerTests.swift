import COpenSSL
import Glibc
import MoongateConfig
import Testing

@testable import Moongate

struct TLSServerTests {
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    private func context(
        _ names: [String] = ["ec"], listener: String = "main", version: TLSVersion = .v1_2,
        keys: TicketKeys = TicketKeys()
    ) throws -> TLSServerContext {
        try TLSServerContext(
            listener: listener,
            config: .init(
                certificates: names.map { certificates.config($0) }, parameters: .init(minimumVersion: version)),
            ticketKeys: keys, contents: TestCertificates.read)
    }

    // MARK: Handshake

    @Test(arguments: [(TLS1_2_VERSION, "TLSv1.2"), (TLS1_3_VERSION, "TLSv1.3")])
    func bytesTravelBothWays(version: Int32, name: String) throws {
        var pair = try TLSPair(try context(), .init(serverName: "ec.example", maximumVersion: version))
        defer { pair.server.close() }
        #expect(pair.serverResult == .finished && pair.clientSucceeded)
        let session = try #require(pair.server.session)
        #expect(session.version == name)
        #expect(session.serverName == "ec.example")
        #expect(try #require(session.cipher).contains("GCM"))
        #expect(pair.server.read() == .wouldBlockRead)
        #expect(pair.client.write(Array("ping".utf8)) == 4)
        #expect(pair.server.readText() == "ping")
        #expect(pair.server.write(Bytes("pong")) == .bytes(4))
        #expect(pair.client.read() == Array("pong".utf8))
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func clientWithoutH2IsRefusedByAlert(version: Int32) throws {
        for protocols in [[], ["http/1.1"], ["h2c", "h3"]] {
            var pair = try TLSPair(try context(), .init(protocols: protocols, maximumVersion: version))
            defer { pair.server.close() }
            guard case .failed = pair.serverResult else {
                Issue.record("\(protocols): \(pair.serverResult)")
                continue
            }
            #expect(pair.clientFault.contains("no application protocol"), "\(pair.clientFault)")
        }
    }

    @Test func h2IsTakenFromAMixedOffer() throws {
        var pair = try TLSPair(try context(), .init(protocols: ["http/1.1", "h2"]))
        defer { pair.server.close() }
        #expect(pair.serverResult == .finished)
    }

    @Test func oldVersionIsRefused() throws {
        var pair = try TLSPair(try context(version: .v1_3), .init(maximumVersion: TLS1_2_VERSION))
        defer { pair.server.close() }
        #expect(!pair.clientSucceeded)
        guard case .failed(let failure) = pair.serverResult else { throw failureMissing }
        #expect(failure.description == "handshake: unsupported protocol")
    }

    @Test func garbageInsteadOfAHelloFails() throws {
        let (near, far) = try socketPair()
        defer { close(far) }
        var server = Transport(awaiting: try context(), fd: near)
        defer { server.close() }
        #expect(Transport(plain: far).write(Bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) == .bytes(24))
        guard case .failed(let failure) = server.handshake() else { throw failureMissing }
        #expect(server.handshake() == .failed(failure))
        #expect(server.read() == .failed(failure))
        #expect(server.write(Bytes("x")) == .failed(failure))
    }

    @Test func nothingIsMadeForAClientBeforeItSaysSomething() throws {
        let (near, far) = try socketPair()
        defer { close(far) }
        var server = Transport(awaiting: try context(), fd: near)
        #expect(server.session == nil && server.isTLS && server.needsHandshake && !server.hasPendingInput)
        #expect(server.handshake() == .wouldBlockRead)
        #expect(server.session != nil && server.isTLS && server.needsHandshake)
        server.close()
        #expect(!server.isTLS)
    }

    @Test func peerThatLeavesDuringTheHandshakeIsNamed() throws {
        let (near, far) = try socketPair()
        var server = Transport(awaiting: try context(), fd: near)
        defer { server.close() }
        #expect(server.handshake() == .wouldBlockRead)
        close(far)
        #expect(server.handshake() == .failed(IOFailure(.handshake, .closedByPeer)))
    }

    // MARK: Reading and writing

    @Test func largeTransfersSurviveAFullSocketAndMovingBuffers() throws {
        var pair = try TLSPair(try context())
        defer { pair.server.close() }
        let message = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) }
        var sent = 0
        var received: [UInt8] = []
        var timesFull = 0
        while received.count < message.count {
            // A fresh copy each time: the address of unsent bytes changes between attempts.
            let rest = Array(message[sent...])
            let result = rest.withUnsafeBufferPointer { buffer in
                buffer.isEmpty
                    ? .bytes(0) : pair.server.write(Bytes(buffer.baseAddress.unsafelyUnwrapped, buffer.count))
            }
            switch result {
            case .bytes(let count): sent += count
            case .wouldBlockWrite: timesFull += 1
            default: throw failureMissing
            }
            let chunk = pair.client.read()
            received += chunk
            if chunk.isEmpty && sent == message.count && received.count < message.count { break }
        }
        #expect(received == message)
        #expect(timesFull > 0)
    }

    @Test func smallBufferLeavesPendingInput() throws {
        var pair = try TLSPair(try context())
        defer { pair.server.close() }
        #expect(pair.client.write([UInt8](repeating: 5, count: 1000)) == 1000)
        let first = withUnsafeTemporaryAllocation(byteCount: 600, alignment: 1) { pair.server.read(into: $0) }
        #expect(first == .bytes(600))
        #expect(pair.server.hasPendingInput)
        #expect(pair.server.read() == .bytes(400))
        #expect(!pair.server.hasPendingInput)
    }

    @Test func oneReadTakesSeveralRecords() throws {
        var pair = try TLSPair(try context())
        defer { pair.server.close() }
        for _ in 0..<3 { #expect(pair.client.write([UInt8](repeating: 5, count: 1000)) == 1000) }
        #expect(pair.server.read() == .bytes(3000))
        #expect(pair.server.read() == .wouldBlockRead)
    }

    @Test func closeNotifyEndsReadingButNotWriting() throws {
        var pair = try TLSPair(try context())
        defer { pair.server.close() }
        #expect(pair.client.write([1]) == 1)
        SSL_shutdown(pair.client.ssl)
        #expect(pair.server.read() == .bytes(1))
        #expect(pair.server.read() == .closed)
        #expect(pair.server.read() == .closed)
        #expect(pair.server.write(Bytes("late")) == .bytes(4))
    }

    @Test func cutConnectionReadsAsClosed() throws {
        var pair = try TLSPair(try context())
        defer { pair.server.close() }
        _ = Glibc.shutdown(pair.client.fd, Int32(SHUT_RDWR))
        #expect(pair.server.read() == .closed)
    }

    @Test func shutdownSendsCloseNotify() throws {
        var pair = try TLSPair(try context())
        defer { pair.server.close() }
        pair.server.shutdown()
        #expect(pair.client.read().isEmpty)
        #expect(SSL_get_shutdown(pair.client.ssl) & SSL_RECEIVED_SHUTDOWN != 0)
    }

    @Test func forgedRecordFailsTheConnection() throws {
        var pair = try TLSPair(try context())
        defer { pair.server.close() }
        let record: [UInt8] = [23, 3, 3, 0, 20] + [UInt8](repeating: 9, count: 20)
        #expect(send(pair.client.fd, record, record.count, 0) == record.count)
        guard case .failed(let failure) = pair.server.read() else { throw failureMissing }
        #expect(failure.description.contains("bad record mac") || failure.description.contains("decryption failed"))
    }

    // MARK: Certificates

    @Test(arguments: [
        ("ec.example", "ec.common"), ("rsa.example", "rsa.common"), ("a.wild.example", "ec.common"),
        ("plain-name.common", "plain-name.common"), ("stranger.example", "rsa.common"), (nil, "rsa.common"),
    ])
    func certificateFollowsTheServerName(name: String?, expected: String) throws {
        var pair = try TLSPair(try context(["rsa", "ec", "plain-name"]), .init(serverName: name))
        defer { pair.server.close() }
        #expect(pair.serverResult == .finished)
        #expect(pair.client.peerCommonName == expected)
    }

    @Test(arguments: [("ECDSA+SHA256", "both-ec.common"), ("rsa_pss_rsae_sha256", "both-rsa.common")])
    func twoKindsOfKeyServeTheSameName(algorithms: String, expected: String) throws {
        var pair = try TLSPair(
            try context(["ec", "both-rsa", "both-ec"]),
            .init(serverName: "both.example", signatureAlgorithms: algorithms))
        defer { pair.server.close() }
        #expect(pair.serverResult == .finished)
        #expect(pair.client.peerCommonName == expected)
    }

    @Test func faultsInFilesAreAllNamed() throws {
        let configs = [
            certificates.config("ec", key: "rsa"), certificates.config("ec", key: "locked"),
            .init(certificate: certificates.path("ec.key"), key: certificates.path("ec.key")),
            .init(certificate: certificates.path("ec.crt"), key: certificates.path("ec.crt")),
        ]
        let error = #expect(throws: DiagnosticList.self) {
            try TLSServerContext(
                listener: "main", config: .init(certificates: configs), ticketKeys: TicketKeys(),
                contents: TestCertificates.read)
        }
        let lines = try #require(error).diagnostics.map(\.description)
        try #require(lines.count == 4)
        #expect(lines[0].hasPrefix("\(certificates.path("rsa.key")): the private key does not belong to"))
        #expect(lines[1].hasPrefix("\(certificates.path("locked.key")): the private key is encrypted"))
        #expect(lines[2].hasPrefix("\(certificates.path("ec.key")): there is no certificate in it"))
        #expect(lines[3].hasPrefix("\(certificates.path("ec.crt")): there is no private key in it"))
    }

    @Test func brokenChainIsAFault() throws {
        let path = certificates.path("ec.crt")
        let error = #expect(throws: DiagnosticList.self) {
            try TLSServerContext(
                listener: "main", config: .init(certificates: [certificates.config("ec")]), ticketKeys: TicketKeys()
            ) { file, _ in
                let bytes = try TestCertificates.read(file)
                return file == path ? bytes + bytes.dropLast(100) : bytes
            }
        }
        #expect(try #require(error).description.contains("certificate 2 cannot be read"))
    }

    @Test func keyBelowTheSecurityLevelIsRefusedAtOnce() throws {
        let error = #expect(throws: DiagnosticList.self) { try context(["ec", "weak"]) }
        #expect(try #require(error).description.contains("weak.crt: the certificate cannot be used: ee key too small"))
    }

    @Test func expiredCertificateIsAWarning() throws {
        let context = try TLSServerContext(
            listener: "main", config: .init(certificates: [certificates.config("old", key: "ec")]),
            ticketKeys: TicketKeys(), contents: TestCertificates.read)
        #expect(context.warnings.map(\.message).allSatisfy { $0.hasPrefix("the certificate has expired: on ") })
        #expect(context.warnings.count == 1)
        #expect(try self.context().warnings.isEmpty)
    }

    // MARK: Tickets

    /// Connects once, then again with the first session: whether the second was resumed.
    private func resumes(
        _ first: TLSServerContext, _ second: TLSServerContext, version: Int32
    ) throws -> Bool {
        var pair = try TLSPair(first, .init(serverName: "ec.example", maximumVersion: version))
        defer { pair.server.close() }
        #expect(pair.serverResult == .finished)
        // TLS 1.3 tickets come after the handshake.
        #expect(pair.client.read().isEmpty)
        let session = try #require(SSL_get1_session(pair.client.ssl))
        defer { SSL_SESSION_free(session) }
        var again = try TLSPair(
            second, .init(serverName: "ec.example", maximumVersion: version, session: session))
        defer { again.server.close() }
        #expect(again.serverResult == .finished)
        #expect(again.server.session?.serverName == "ec.example")
        return again.server.session?.isResumed == true
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func ticketOutlivesAReloadAndIsBoundToItsListener(version: Int32) throws {
        let keys = TicketKeys()
        #expect(try resumes(context(keys: keys), context(keys: keys), version: version))
        #expect(try !resumes(context(keys: keys), context(keys: TicketKeys()), version: version))
        #expect(try !resumes(context(keys: keys), context(listener: "other", keys: keys), version: version))
    }

    private struct FailureMissing: Error {}
    private var failureMissing: FailureMissing { FailureMissing() }
}
