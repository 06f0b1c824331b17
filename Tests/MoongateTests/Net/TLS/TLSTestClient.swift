import COpenSSL
import Glibc
import Testing

@testable import Moongate

/// An OpenSSL client on one end of a socket pair, for tests; it trusts everybody.
final class TLSTestClient {
    struct Options {
        var serverName: String?
        var protocols: [String] = ["h2"]
        var maximumVersion = TLS1_3_VERSION
        var signatureAlgorithms: String?
        /// An earlier session to resume.
        var session: OpaquePointer?
    }

    let fd: Int32
    private let context: OpaquePointer
    let ssl: OpaquePointer

    init(fd: Int32, _ options: Options) throws {
        signal(SIGPIPE, SIG_IGN)
        self.fd = fd
        context = try #require(SSL_CTX_new(TLS_client_method()))
        ssl = try #require(SSL_new(context))
        SSL_set_fd(ssl, fd)
        SSL_set_connect_state(ssl)
        _ = SSL_ctrl(ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(options.maximumVersion), nil)
        if let name = options.serverName { setText(SSL_CTRL_SET_TLSEXT_HOSTNAME, Int(TLSEXT_NAMETYPE_host_name), name) }
        if let algorithms = options.signatureAlgorithms { setText(SSL_CTRL_SET_SIGALGS_LIST, 0, algorithms) }
        let offer = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !offer.isEmpty { try #require(SSL_set_alpn_protos(ssl, offer, UInt32(offer.count)) == 0) }
        if let session = options.session { try #require(SSL_set_session(ssl, session) == 1) }
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
        close(fd)
    }

    private func setText(_ command: Int32, _ argument: Int, _ text: String) {
        _ = text.withCString { SSL_ctrl(ssl, command, argument, UnsafeMutableRawPointer(mutating: $0)) }
    }

    /// One step; `nil` while the handshake goes on, else whether it succeeded.
    func handshake() -> Bool? {
        ERR_clear_error()
        let status = SSL_do_handshake(ssl)
        if status == 1 { return true }
        return SSL_get_error(ssl, status) == SSL_ERROR_WANT_READ ? nil : false
    }

    /// Bytes that are there now; empty if none.
    func read() -> [UInt8] {
        ERR_clear_error()
        var buffer = [UInt8](repeating: 0, count: 65536)
        var count = 0
        return SSL_read_ex(ssl, &buffer, buffer.count, &count) == 1 ? Array(buffer[..<count]) : []
    }

    func write(_ bytes: [UInt8]) -> Int {
        ERR_clear_error()
        var count = 0
        return SSL_write_ex(ssl, bytes, bytes.count, &count) == 1 ? count : 0
    }

    /// The alert that ended the connection, by OpenSSL's name.
    var alertReason: String { TLSError.takeText() }

    var peerCommonName: String {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return "" }
        defer { X509_free(certificate) }
        var buffer = [CChar](repeating: 0, count: 256)
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, &buffer, 256)
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A server session and a client joined by a socket pair.
struct TLSPair {
    let client: TLSTestClient
    var server: Transport
    var serverResult = HandshakeResult.wouldBlockRead
    var clientSucceeded = false
    var clientFault = ""

    init(_ context: TLSServerContext, _ options: TLSTestClient.Options = .init()) throws {
        let (near, far) = try socketPair()
        client = try TLSTestClient(fd: far, options)
        server = Transport(awaiting: context, fd: near)
        for _ in 0..<20 {
            let clientStep = client.handshake()
            clientSucceeded = clientStep == true
            if clientStep == false && clientFault.isEmpty { clientFault = client.alertReason }
            if serverResult == .wouldBlockRead || serverResult == .wouldBlockWrite { serverResult = server.handshake() }
        }
    }
}
