extension Configuration {
    /// Absolute paths of the files that the configuration itself names: certificates, keys, authorities and lists of
    /// revoked certificates, each once, in the order of the file. What policies read is known only to them.
    public var referencedFiles: [String] {
        var seen: Set<String> = []
        return (listeners.compactMap(\.tls).flatMap(\.files) + upstreams.compactMap(\.tls).flatMap(\.files))
            .filter { seen.insert($0).inserted }
    }
}

extension ListenerTLSConfig {
    fileprivate var files: [String] {
        certificates.flatMap { [$0.certificate, $0.key] }
            + [clientCertificates?.authorities, clientCertificates?.revocationLists].compactMap { $0 }
    }
}

extension UpstreamTLSConfig {
    fileprivate var files: [String] {
        var files: [String] = []
        if case .file(let path) = trust { files.append(path) }
        return files + [revocationLists, certificate?.certificate, certificate?.key].compactMap { $0 }
    }
}
