/// The methods of Envoy's Lua filter (Envoy 1.40), by the type that has them here.
enum EnvoySurface {
    static let methods: [String: Set<String>] = [
        "Handle": [
            "headers", "requestHeaders", "body", "bodyChunks", "trailers", "httpCall", "respond", "metadata",
            "virtualHost", "route", "streamInfo", "connection", "connectionStreamInfo", "filterContext",
            "clearRouteCache", "setUpstreamOverrideHost", "stats", "importPublicKey", "verifySignature",
            "base64Escape", "base64Decode", "timestamp", "timestampString", "logTrace", "logDebug", "logInfo",
            "logWarn", "logErr", "logCritical",
        ],
        "HeaderMap": [
            "add", "get", "getAtIndex", "getNumValues", "remove", "replace", "setHttp1ReasonPhrase",
        ],
        "Buffer": ["length", "getBytes", "setBytes"],
        "Metadata": ["get"],
        "VirtualHost": ["metadata"],
        "Route": ["metadata"],
        "StreamInfo": [
            "protocol", "routeName", "virtualClusterName", "downstreamLocalAddress", "downstreamDirectLocalAddress",
            "downstreamRemoteAddress", "downstreamDirectRemoteAddress", "requestedServerName",
            "downstreamSslConnection", "dynamicMetadata", "dynamicTypedMetadata", "filterState",
            "drainConnectionUponCompletion",
        ],
        "DynamicMetadata": ["get", "set"],
        "FilterState": ["get", "set"],
        "ConnectionStreamInfo": ["dynamicMetadata", "dynamicTypedMetadata"],
        "Connection": ["ssl"],
        "Stats": ["counter", "gauge", "histogram"],
        "Counter": ["inc", "add", "value"],
        "Gauge": ["set", "inc", "dec", "add", "sub", "value"],
        "Histogram": ["recordValue"],
        "PublicKey": ["get"],
        "TLSConnection": [
            "peerCertificatePresented", "peerCertificateValidated", "uriSanLocalCertificate",
            "sha256PeerCertificateDigest", "serialNumberPeerCertificate", "issuerPeerCertificate",
            "subjectPeerCertificate", "parsedSubjectPeerCertificate", "uriSanPeerCertificate",
            "subjectLocalCertificate", "urlEncodedPemEncodedPeerCertificate",
            "urlEncodedPemEncodedPeerCertificateChain", "dnsSansPeerCertificate", "dnsSansLocalCertificate",
            "oidsPeerCertificate", "oidsLocalCertificate", "validFromPeerCertificate",
            "expirationPeerCertificate", "sessionId", "ciphersuiteId", "ciphersuiteString", "tlsVersion",
            "serialNumberPeerCertificateIssuer", "sha256PeerCertificateIssuerDigest",
        ],
        "ParsedSubject": ["commonName", "organizationName"],
    ]
}
