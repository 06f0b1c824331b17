extension Configuration {
    /// Absolute paths of the files that the configuration itself names: certificates and keys, each once, in the
    /// order of the file. What policies read is known only to them.
    public var referencedFiles: [String] {
        var files: [String] = []
        var seen: Set<String> = []
        for certificate in listeners.flatMap({ $0.tls?.certificates ?? [] }) {
            for path in [certificate.certificate, certificate.key] where seen.insert(path).inserted {
                files.append(path)
            }
        }
        return files
    }
}
