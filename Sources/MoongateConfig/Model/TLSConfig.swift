/// A version of TLS. HTTP/2 needs 1.2 at least (RFC 9113 §9.2).
public enum TLSVersion: String, Sendable, Equatable, CaseIterable {
    case v1_2 = "1.2"
    case v1_3 = "1.3"
}

/// What TLS may agree on, towards clients and towards servers.
public struct TLSParameters: Sendable, Equatable {
    public var minimumVersion: TLSVersion
    public var maximumVersion: TLSVersion
    /// By OpenSSL's names, in order of preference. A version of which the list names none keeps its own.
    public var ciphers: [TLSCipher]
    /// In order of preference; empty: X25519, P-256, P-384.
    public var curves: [TLSCurve]
    public init(
        minimumVersion: TLSVersion = .v1_2, maximumVersion: TLSVersion = .v1_3, ciphers: [TLSCipher] = [],
        curves: [TLSCurve] = []
    ) {
        self.minimumVersion = minimumVersion
        self.maximumVersion = maximumVersion
        self.ciphers = ciphers
        self.curves = curves
    }
}

/// The cipher suites that HTTP/2 allows (RFC 9113 §9.2.2: ephemeral keys and AEAD), by OpenSSL's names.
public enum TLSCipher: String, Sendable, Equatable, CaseIterable {
    case aes128GCM = "TLS_AES_128_GCM_SHA256"
    case aes256GCM = "TLS_AES_256_GCM_SHA384"
    case chacha20Poly1305 = "TLS_CHACHA20_POLY1305_SHA256"
    case aes128CCM = "TLS_AES_128_CCM_SHA256"
    case ecdsaAES128GCM = "ECDHE-ECDSA-AES128-GCM-SHA256"
    case rsaAES128GCM = "ECDHE-RSA-AES128-GCM-SHA256"
    case ecdsaAES256GCM = "ECDHE-ECDSA-AES256-GCM-SHA384"
    case rsaAES256GCM = "ECDHE-RSA-AES256-GCM-SHA384"
    case ecdsaChaCha20Poly1305 = "ECDHE-ECDSA-CHACHA20-POLY1305"
    case rsaChaCha20Poly1305 = "ECDHE-RSA-CHACHA20-POLY1305"

    /// The one version that has it: a suite of TLS 1.3 names no key exchange.
    public var version: TLSVersion { rawValue.hasPrefix("TLS_") ? .v1_3 : .v1_2 }
}

/// A group for the key exchange, by OpenSSL's name.
public enum TLSCurve: String, Sendable, Equatable, CaseIterable {
    case x25519 = "X25519"
    case p256 = "P-256"
    case p384 = "P-384"
    case p521 = "P-521"
    case x448 = "X448"
}

/// A certificate with its key.
public struct CertificateConfig: Sendable, Equatable {
    /// PEM file: the certificate, then its chain.
    public var certificate: String
    /// PEM file: the private key.
    public var key: String
    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

/// A name that a certificate may be for: one of its subject alternative names (RFC 5280 §4.2.1.6).
public enum PeerName: Sendable, Hashable {
    /// Lower case; `*.example.com` accepts every certificate for one label before `example.com`.
    case dns(String)
    /// Compared byte by byte: `spiffe://cluster.local/ns/shop/sa/cart`.
    case uri(String)
    case address(String)

    /// As it is written.
    public var text: String {
        switch self {
        case .dns(let text), .uri(let text), .address(let text): text
        }
    }
}

/// TLS of a listener. The certificate is chosen by SNI; the first one serves clients that match none.
public struct ListenerTLSConfig: Sendable, Equatable {
    /// At least one.
    public var certificates: [CertificateConfig]
    public var parameters: TLSParameters
    /// `nil`: clients are not asked for one.
    public var clientCertificates: ClientCertificatesConfig?
    public init(
        certificates: [CertificateConfig], parameters: TLSParameters = .init(),
        clientCertificates: ClientCertificatesConfig? = nil
    ) {
        self.certificates = certificates
        self.parameters = parameters
        self.clientCertificates = clientCertificates
    }
}

/// What a listener wants of its clients' certificates.
public struct ClientCertificatesConfig: Sendable, Equatable {
    public enum Mode: String, Sendable, Equatable, CaseIterable {
        /// No handshake without a good one.
        case required
        /// A client may have none, but none that is bad.
        case optional
        /// A client may have any; policies see whether it is good.
        case request
    }
    public var mode: Mode
    /// PEM file with the authorities that are trusted; `nil` only with `request`: none is.
    public var authorities: String?
    /// PEM file with the authorities' lists of revoked certificates.
    public var revocationLists: String?
    /// How many certificates may stand between a client's and its authority's.
    public var depth: Int
    /// One of them must be in the certificate; empty: any will do.
    public var names: [PeerName]
    public init(
        mode: Mode, authorities: String?, revocationLists: String? = nil, depth: Int = 10, names: [PeerName] = []
    ) {
        self.mode = mode
        self.authorities = authorities
        self.revocationLists = revocationLists
        self.depth = depth
        self.names = names
    }
}

/// What becomes of `x-forwarded-client-cert`, by Envoy's names and meaning.
public struct ForwardClientCertificateConfig: Sendable, Equatable {
    public enum Mode: String, Sendable, Equatable, CaseIterable {
        case sanitize
        case forwardOnly = "forward_only"
        case appendForward = "append_forward"
        case sanitizeSet = "sanitize_set"
        case alwaysForwardOnly = "always_forward_only"
    }
    /// What an element says besides `By` and `Hash`.
    public enum Detail: String, Sendable, Equatable, CaseIterable {
        case cert, chain, subject, uri, dns
    }
    public var mode: Mode
    public var details: [Detail]
    public init(mode: Mode = .sanitize, details: [Detail] = [.subject, .uri, .dns]) {
        self.mode = mode
        self.details = details
    }
}

/// TLS towards the servers of an upstream.
public struct UpstreamTLSConfig: Sendable, Equatable {
    public enum Trust: Sendable, Equatable {
        /// The authorities that the system trusts.
        case system
        /// PEM file with the authorities.
        case file(String)
    }
    public var trust: Trust
    /// PEM file with the authorities' lists of revoked certificates.
    public var revocationLists: String?
    /// What servers are asked for (SNI), and whom their certificate must name unless `names` says. `nil`: the host
    /// of the endpoint.
    public var serverName: String?
    /// One of them must be in the certificate; empty: the server's name.
    public var names: [PeerName]
    /// Shown to servers that ask for one.
    public var certificate: CertificateConfig?
    public var parameters: TLSParameters
    /// Any certificate will do.
    public var skipsVerification: Bool
    public init(
        trust: Trust = .system, revocationLists: String? = nil, serverName: String? = nil, names: [PeerName] = [],
        certificate: CertificateConfig? = nil, parameters: TLSParameters = .init(), skipsVerification: Bool = false
    ) {
        self.trust = trust
        self.revocationLists = revocationLists
        self.serverName = serverName
        self.names = names
        self.certificate = certificate
        self.parameters = parameters
        self.skipsVerification = skipsVerification
    }
}
