/// Which certificates answer to a server name (RFC 6066 §3): exact names before wildcards, one certificate for each
/// type of key, the earlier in the list before the later.
///
/// A wildcard covers exactly one label (RFC 6125 §6.4.3).
struct CertificateIndex: Sendable {
    struct Entry: Sendable {
        /// Lower case, `*.example.com` for wildcards.
        var names: [String]
        /// Certificates of different types can serve the same name side by side.
        var keyType: Int32
    }

    private let keyTypes: [Int32]
    private var exact: [String: [Int]] = [:]
    /// By the part after `*.`.
    private var wildcard: [String: [Int]] = [:]
    /// The first certificate and those with the same names but another type of key.
    private var fallback: [Int] = []

    init(_ entries: [Entry]) {
        keyTypes = entries.map(\.keyType)
        for (index, entry) in entries.enumerated() {
            for name in entry.names {
                if name.hasPrefix("*.") {
                    add(index, to: &wildcard[String(name.dropFirst(2)), default: []])
                } else {
                    add(index, to: &exact[name, default: []])
                }
            }
            if Set(entry.names) == Set(entries[0].names) { add(index, to: &fallback) }
        }
    }

    /// The certificates to offer, at most one for each type of key; the first listed serves clients that name
    /// nobody or a stranger.
    func choose(serverName: String?) -> [Int] {
        guard var name = serverName?.lowercased(), !name.isEmpty else { return fallback }
        if name.last == "." { name.removeLast() }
        var chosen = exact[name] ?? []
        if let dot = name.firstIndex(of: "."), let matches = wildcard[String(name[name.index(after: dot)...])] {
            for index in matches { add(index, to: &chosen) }
        }
        return chosen.isEmpty ? fallback : chosen
    }

    /// The certificates that name a host best: with the name itself, else with a wildcard for it. Empty: none does.
    func owners(of host: String) -> [Int] {
        var name = host.lowercased()
        if name.last == "." { name.removeLast() }
        if let owners = exact[name] { return owners }
        return name.firstIndex(of: ".").flatMap { wildcard[String(name[name.index(after: $0)...])] } ?? []
    }

    private func add(_ index: Int, to list: inout [Int]) {
        if !list.contains(where: { keyTypes[$0] == keyTypes[index] }) { list.append(index) }
    }
}
