import MoongateConfig

@testable import Moongate

/// The routing rules once more, as directly as they can be written: every alternative is tried, the best of
/// those that match is taken. Slow and obviously right; the route table is compared with it.
struct ReferenceMatcher {
    let routes: [RouteConfig]
    let listeners: [String]

    /// (exact host, host characters, whole path, prefix characters, method characters, headers, file order)
    typealias Rank = [Int]

    func match(_ request: RouteRequest, listener: Int = 0) -> Int {
        var best: (rank: Rank, route: Int)?
        for (position, route) in routes.enumerated() {
            guard route.listeners.isEmpty || route.listeners.contains(listeners[listener]) else { continue }
            for match in route.matches {
                guard let host = hostRank(match.hosts, request), let path = pathRank(match.path, request.path),
                    match.headers.allSatisfy({ holds($0, request) })
                else { continue }
                let rank = host + path + [match.headers.count, -position]
                if let known = best, !known.rank.lexicographicallyPrecedes(rank) { continue }
                best = (rank, position)
            }
        }
        return best?.route ?? -1
    }

    private func hostRank(_ hosts: [String], _ request: RouteRequest) -> Rank? {
        if hosts.isEmpty { return [0, 0] }
        let authority = request.authority ?? request.headers.first { $0.name == "host" }?.value ?? ""
        var host = authority.lowercased()
        if host.hasPrefix("["), let close = host.firstIndex(of: "]") {
            host = String(host[..<close].dropFirst())
        } else if host.filter({ $0 == ":" }).count == 1 {
            host = String(host[..<(host.firstIndex(of: ":") ?? host.endIndex)])
        }
        if host.hasSuffix(".") && host.count > 1 { host.removeLast() }
        return hosts.compactMap { pattern -> Rank? in
            if pattern == host { return [pattern.count, pattern.count] }
            guard pattern.hasPrefix("*.") else { return nil }
            let suffix = String(pattern.dropFirst())
            return host.hasSuffix(suffix) && host.count > suffix.count ? [0, pattern.count] : nil
        }.max { $0.lexicographicallyPrecedes($1) }
    }

    private func pathRank(_ rule: PathMatch, _ full: String) -> Rank? {
        let path = String(full.prefix { $0 != "?" })
        switch rule {
        case .any: return [0, 0, 0]
        case .exact(let exact): return path == exact ? [1, 0, 0] : nil
        case .method(let service, let method): return path == "/\(service)/\(method)" ? [1, 0, 0] : nil
        case .service(let service): return path.hasPrefix("/\(service)/") ? [0, service.count + 1, 0] : nil
        case .prefix(let prefix):
            let trimmed = prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix
            if trimmed.isEmpty { return [0, 0, 0] }
            return path == trimmed || path.hasPrefix(trimmed + "/") ? [0, trimmed.count, 0] : nil
        case .anyServiceMethod(let method):
            guard path.hasPrefix("/"), let slash = path.dropFirst().firstIndex(of: "/") else { return nil }
            return path[path.index(after: slash)...] == method ? [0, 0, method.count] : nil
        }
    }

    private func holds(_ header: HeaderMatch, _ request: RouteRequest) -> Bool {
        let values = request.headers.filter { $0.name.lowercased() == header.name }.map(\.value)
        let value = values.joined(separator: header.name == "cookie" ? "; " : ",")
        switch header.predicate {
        case .absent: return values.isEmpty
        case .present: return !values.isEmpty
        case .exact(let expected): return !values.isEmpty && value == expected
        case .prefix(let expected): return !values.isEmpty && value.hasPrefix(expected)
        case .regex(let pattern):
            guard !values.isEmpty, let regex = try? Regex(pattern) else { return false }
            return value.wholeMatch(of: regex) != nil
        }
    }
}

/// The same numbers on every run and machine (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
