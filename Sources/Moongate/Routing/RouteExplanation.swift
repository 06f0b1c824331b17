import MoongateConfig

/// Why a request takes the route that it takes.
///
/// The verdict is the table's. What fits and what does not is asked of tables with one rule each, so that nothing here
/// knows how anything is matched. Slow: for people who ask, not for the way of a request.
struct RouteExplanation {
    /// The lines of the order of precedence (see `RouteTable`).
    enum Step: String {
        case host, path, headers, order
    }

    enum Outcome: Equatable {
        case wins
        /// The route does not belong to the listener.
        case otherListener
        /// What does not fit.
        case host, path
        case header(HeaderMatch)
        /// Everything fits, and the winner is ahead by this.
        case loses(Step)
    }

    /// One `match` of one route.
    struct Alternative {
        let route: Int
        let match: Int
        let outcome: Outcome
    }

    /// Index of the route, -1: none.
    let route: Int
    /// By what the winner is ahead of the next best; `nil`: nothing else fits.
    let decidedBy: Step?
    /// Of all routes, in the order of the file.
    let alternatives: [Alternative]

    /// Of a request whose path is refused.
    init() {
        route = -1
        decidedBy = nil
        alternatives = []
    }

    /// - Parameters:
    ///   - routes: those that `table` was made of.
    ///   - listener: index in the list that the table was made with.
    init(_ routes: [RouteConfig], _ table: RouteTable, listener: Int, name: String, _ request: HeaderList) {
        route = table.match(listener: listener, headers: request)
        var candidates: [(alternative: Int, rank: Rank)] = []
        var found: [(route: Int, match: Int, fault: Outcome?)] = []
        for (index, route) in routes.enumerated() {
            for (number, match) in route.matches.enumerated() {
                let isVisible = route.listeners.isEmpty || route.listeners.contains(name)
                let fault = isVisible ? RouteExplanation.fault(of: match, request) : .otherListener
                if fault == nil {
                    candidates.append((found.count, Rank(match, request, order: found.count)))
                }
                found.append((index, number, fault))
            }
        }
        let ranked = candidates.sorted { $0.rank.isAhead(of: $1.rank) != nil }
        let best = ranked.first
        decidedBy = ranked.count > 1 ? best?.rank.isAhead(of: ranked[1].rank) : nil
        alternatives = found.enumerated().map { place, item in
            var outcome = item.fault ?? .wins
            if item.fault == nil, let best, best.alternative != place,
                let rank = candidates.first(where: { $0.alternative == place })?.rank
            {
                outcome = .loses(best.rank.isAhead(of: rank) ?? .order)
            }
            return Alternative(route: item.route, match: item.match, outcome: outcome)
        }
    }

    /// `nil`: everything fits.
    private static func fault(of match: RouteMatch, _ request: HeaderList) -> Outcome? {
        if !fits(RouteMatch(hosts: match.hosts), request) { return .host }
        if !fits(RouteMatch(path: match.path), request) { return .path }
        for header in match.headers where !fits(RouteMatch(headers: [header]), request) { return .header(header) }
        return nil
    }

    fileprivate static func fits(_ match: RouteMatch, _ request: HeaderList) -> Bool {
        let route = RouteConfig(name: "", matches: [match])
        // Lenient: the pattern has been accepted, with the settings of its route.
        guard let table = try? RouteTable(routes: [route], listeners: [""], lenient: [""]) else { return false }
        return table.match(listener: 0, headers: request) == 0
    }
}

/// How specific a match that fits is.
private struct Rank {
    /// 2: exact, 1: suffix, 0: none; then the length.
    private let host: (kind: Int, length: Int)
    /// 3: the whole path, 2: a prefix, 1: a method of any service, 0: none; then the length.
    private let path: (kind: Int, length: Int)
    private let headers: Int
    private let order: Int

    init(_ match: RouteMatch, _ request: HeaderList, order: Int) {
        var best = (kind: 0, length: 0)
        for host in match.hosts where RouteExplanation.fits(RouteMatch(hosts: [host]), request) {
            let rank = (kind: host.hasPrefix("*.") ? 1 : 2, length: host.utf8.count)
            if rank > best { best = rank }
        }
        host = best
        path = Rank.path(match.path)
        headers = match.headers.count
        self.order = order
    }

    private static func path(_ path: PathMatch) -> (kind: Int, length: Int) {
        switch path {
        case .exact, .method: return (3, 0)
        case .prefix(let prefix):
            var rules = PathPattern.Rules()
            (rules.mode, rules.allowsParameters, rules.keepsSlash) = (.lenient, true, true)
            let key = (try? PathPattern(prefix, rules))?.key ?? prefix
            let length = key.utf8.count - (key.hasSuffix("/") ? 1 : 0)
            return length == 0 ? (0, 0) : (2, length)
        case .service(let service): return (2, service.utf8.count + 1)
        case .anyServiceMethod: return (1, 0)
        case .any: return (0, 0)
        }
    }

    /// By what this one is ahead; `nil`: it is not.
    func isAhead(of other: Rank) -> RouteExplanation.Step? {
        if host != other.host { return host > other.host ? .host : nil }
        if path != other.path { return path > other.path ? .path : nil }
        if headers != other.headers { return headers > other.headers ? .headers : nil }
        return order < other.order ? .order : nil
    }
}
