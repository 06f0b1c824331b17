import MoongateConfig

/// Finds the route of a request. Compiled once per generation, then immutable and shared by all workers.
///
/// What it owns: flat arrays of plain values, allocated when it is built and freed with it. A look-up reads
/// them and nothing else: no allocation, no reference counts, no locks.
///
/// **Which route wins** (GRPCRoute's order, in which HTTPRoute's rules for paths find their place). All
/// alternatives of all routes that match compete; the next line counts only if the ones above are equal:
/// 1. host: exact > longest `*.suffix` > none;
/// 2. path: the whole path (`exact`, `service` + `method`) > the longest prefix, a `service` being the prefix
///    `/service` > a `method` without a service > none (`path_prefix: /` is none);
/// 3. the number of header predicates;
/// 4. the order in the file.
///
/// **How it gets there**: realm (what one listener sees) → host group → node of the path's tree or method →
/// candidates → header predicates. Every arrow is a look-up in one hash table, taken from the most specific
/// to the least, and the first candidate that matches is the answer. A group without a match falls through
/// to the next, less specific one.
///
/// **What a look-up costs** depends on the request and on how deep hosts and prefixes nest, not on the number
/// of routes. One limit: routes with the same host *and* the same path that differ by headers are found
/// through an `exact` predicate's value or, failing that, the name of a header that has to be there; those
/// that share even that (say, a thousand prefixes or patterns for the same header) are tried one by one.
final class RouteTable: @unchecked Sendable {
    // Unchecked because of the pointers in these values: nothing writes to what they show after `init`.
    let text: FlatArray<UInt8>
    let index: RouteIndex
    let realmOfListener: FlatArray<Int32>
    let realms: FlatArray<Realm>
    let groups: FlatArray<HostGroup>
    let nodes: FlatArray<PathNode>
    let buckets: FlatArray<Bucket>
    let headerNames: FlatArray<HeaderAnchor>
    /// Numbers of candidates, ascending within each list, so the best come first.
    let lists: FlatArray<Int32>
    let listRanges: FlatArray<ListRange>
    let candidates: FlatArray<Candidate>
    let predicates: FlatArray<CompiledPredicate>
    /// Keeps the patterns alive whose handles stand in `predicates`.
    private let patterns: [TextPattern]
    /// By route.
    private let spellings: FlatArray<PathPattern.Spelling>
    /// Some route's path has parameters.
    private let spellsParameters: Bool
    private let readsHost: Bool
    private let readsHeaders: Bool

    convenience init(_ config: Configuration) throws(DiagnosticList) {
        try self.init(
            routes: config.routes, listeners: config.listeners.map(\.name),
            lenient: Set(config.listeners.filter { $0.paths == .lenient }.map(\.name)))
    }

    /// - Parameters:
    ///   - listeners: the names of all listeners; `match` takes positions in this list.
    ///   - lenient: the names of those whose paths are.
    /// - Throws: every fault of every route: unknown listeners, paths that no request can have, bad patterns.
    init(routes: [RouteConfig], listeners: [String], lenient: Set<String> = []) throws(DiagnosticList) {
        var builder = RouteTableBuilder(listeners: listeners, lenient: lenient)
        try builder.add(routes)
        var texts = RouteText()
        let parts = builder.finish(&texts)
        index = RouteIndex(parts.index, text: &texts)
        text = FlatArray(copying: texts.bytes)
        realmOfListener = FlatArray(copying: parts.realmOfListener)
        realms = FlatArray(copying: parts.realms)
        groups = FlatArray(copying: parts.groups)
        nodes = FlatArray(copying: parts.nodes)
        buckets = FlatArray(copying: parts.buckets)
        headerNames = FlatArray(copying: parts.headerNames)
        lists = FlatArray(copying: parts.lists)
        listRanges = FlatArray(copying: parts.listRanges)
        candidates = FlatArray(copying: parts.candidates)
        predicates = FlatArray(copying: parts.predicates)
        patterns = parts.patterns
        spellings = FlatArray(copying: parts.spellings)
        spellsParameters = parts.spellings.contains { $0.contains(.parameters) }
        readsHost = parts.realms.contains(where: \.hasHosts)
        readsHeaders = !parts.predicates.isEmpty || !parts.headerNames.isEmpty
    }

    deinit {
        text.free()
        index.free()
        realmOfListener.free()
        realms.free()
        groups.free()
        nodes.free()
        buckets.free()
        headerNames.free()
        lists.free()
        listRanges.free()
        candidates.free()
        predicates.free()
        spellings.free()
    }

    /// The position of the route that `headers` belongs to in the list that the table was built from, or -1.
    ///
    /// - Parameter listener: position in the list that the table was built with.
    func match(listener: Int, headers: HeaderList) -> Int {
        let path = RouteTable.withoutQuery(headers.value(.path) ?? .empty)
        let traits: PathTraits = RequestPath.isPlain(path) ? [] : .escaped
        return match(listener: listener, headers: headers, traits)
    }

    /// - Parameter traits: those of the path, which is canonical.
    @inline(__always) func match(listener: Int, headers: HeaderList, _ traits: PathTraits) -> Int {
        let path = RouteTable.withoutQuery(headers.value(.path) ?? .empty)
        if traits.contains(.escaped) { return matchEscaped(listener: listener, path: path, headers: headers) }
        return match(listener: listener, path: path, headers: headers)
    }

    /// The path is compared by its key. Parameters take no part, but where a pattern has some itself.
    private func matchEscaped(listener: Int, path: Bytes, headers: HeaderList) -> Int {
        if spellsParameters {
            let route = match(listener: listener, path: path, .withParameters, headers: headers)
            if route >= 0 && spellings[route].contains(.parameters) { return route }
        }
        return match(listener: listener, path: path, [], headers: headers)
    }

    private func match(
        listener: Int, path: Bytes, _ reading: PathKey.Reading, headers: HeaderList
    ) -> Int {
        // A closure cannot borrow what was borrowed; nobody writes to the copy, which lasts as long as the call.
        let fields = copy headers
        return PathKey.withKey(path, reading) { match(listener: listener, path: $0, headers: fields) }
    }

    /// Whether a server that decodes `%2F`, or `%3F` and `%23`, before it takes a path apart arrives at what belongs to the same
    /// route; one whose patterns spell them out has said what is meant.
    func isUnambiguous(listener: Int, headers: HeaderList, route: Int) -> Bool {
        guard route < 0 || !spellings[route].contains(.encodedDelimiters) else { return true }
        let path = RouteTable.withoutQuery(headers.value(.path) ?? .empty)
        for reading: PathKey.Reading in [.decodedSlash, .decodedEnd, [.decodedSlash, .decodedEnd]]
        where match(listener: listener, path: path, reading, headers: headers) != route { return false }
        return true
    }

    private func match(listener: Int, path: Bytes, headers: HeaderList) -> Int {
        guard listener >= 0 && listener < realmOfListener.count else { return -1 }
        let number = realmOfListener[listener]
        let realm = realms[number]
        if realm.hasHosts {
            var authority = headers.value(.authority)
            if authority == nil { authority = headers.value(.host) }
            let host = Authority(splitting: authority ?? .empty).host
            let route = match(host: host, realm: number, path: path, headers: headers)
            if route >= 0 { return route }
        }
        return realm.anyHost >= 0 ? match(group: realm.anyHost, path: path, headers: headers) : -1
    }

    /// Whether the route of some request depends on its fields of this name.
    @inline(__always) func reads(_ name: FieldName) -> Bool {
        switch name {
        case .path: true
        case .authority, .host: readsHost || readsHeaders
        default: readsHeaders
        }
    }

    /// Host names, the longest first: the whole name, then what is left as labels go from the front.
    @inline(__always)
    private func match(host: Bytes, realm number: Int32, path: Bytes, headers: HeaderList) -> Int {
        let group = index.find(host, .init(.host, of: number), in: text)
        if group >= 0 {
            let route = match(group: group, path: path, headers: headers)
            if route >= 0 { return route }
        }
        let longest = Int(realms[number].longestSuffix)
        guard longest > 0 else { return -1 }
        // A suffix longer than any that is configured need not be hashed: bounds the work for silly names. The
        // label in front of the suffix has at least one byte.
        var position = max(1, host.count - longest - 1)
        while position < host.count {
            let rest = host[position..<host.count]
            guard let dot = rest.firstIndex(of: UInt8(ascii: ".")) else { return -1 }
            let group = index.find(rest[dot + 1..<rest.count], .init(.hostSuffix, of: number), in: text)
            if group >= 0 {
                let route = match(group: group, path: path, headers: headers)
                if route >= 0 { return route }
            }
            position += dot + 1
        }
        return -1
    }

    @inline(__always)
    static func withoutQuery(_ path: Bytes) -> Bytes {
        guard let mark = path.firstIndex(of: UInt8(ascii: "?")) else { return path }
        return path[0..<mark]
    }
}
