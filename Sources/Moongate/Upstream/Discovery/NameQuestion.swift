/// What is asked about a name.
enum NameQuestion: Hashable, Sendable {
    /// Addresses of a host (`/etc/hosts`, A, AAAA).
    case host(String)
    /// Where a service is offered (SRV), and the addresses of those hosts.
    case service(String)

    var name: String {
        switch self {
        case .host(let name), .service(let name): name
        }
    }
}

/// One address behind a name.
struct NamedEndpoint: Hashable, Sendable {
    /// Of a host without a port (0).
    var address: SocketAddress
    /// 1 to 1000; of a host's addresses always 1.
    var weight = 1
    /// 0 first, without gaps; of a host's addresses always 0.
    var priority = 0
}

/// What is known of a name: its endpoints, in the order of their addresses' first mention, or why there are none.
typealias NameAnswer = Result<[NamedEndpoint], NameFailure>

extension ServiceRecords {
    /// The endpoints of the records whose targets have addresses.
    ///
    /// SRV priorities (0 to 65535) are numbered from 0 without gaps. Weights are those of the records; where a target has
    /// several addresses they share its weight. Weights that are no whole numbers from 1 to 1000 are brought there, the largest
    /// to 1000; one of 0, which RFC 2782 wants to be chosen hardly ever, becomes 1.
    /// - Returns: `HostAddresses.limit` at most.
    func endpoints(_ addresses: [String: [SocketAddress]]) -> [NamedEndpoint] {
        let known = records.filter { !(addresses[$0.target] ?? []).isEmpty }
        let priorities = Set(known.map(\.priority)).sorted()
        let shares = known.map { Double($0.weight) / Double(addresses[$0.target]?.count ?? 1) }
        let isFitting = shares.allSatisfy { $0 == $0.rounded() && $0 <= 1000 }
        let scale = isFitting ? 1 : 1000 / max(1e-9, shares.max() ?? 1)
        var endpoints: [NamedEndpoint] = []
        var seen: Set<SocketAddress> = []
        for (record, share) in zip(known, shares) {
            for var address in addresses[record.target] ?? [] {
                address.port = record.port
                guard endpoints.count < HostAddresses.limit else { return endpoints }
                guard seen.insert(address).inserted else { continue }
                endpoints.append(
                    NamedEndpoint(
                        address: address, weight: max(1, min(1000, Int((share * scale).rounded()))),
                        priority: priorities.firstIndex(of: record.priority) ?? 0))
            }
        }
        return endpoints
    }
}
