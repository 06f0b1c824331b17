import MoongateConfig

/// Turns routes into the parts of a `RouteTable`. Runs off the workers, once per generation: ordinary Swift.
struct RouteTableBuilder {
    /// One alternative of one route for one host: a match in the words of the configuration.
    struct Alternative {
        var route: Int32
        var headers: [HeaderMatch]
        var needsMore: Bool
    }

    struct Parts {
        var index: [RouteIndex.Key: Int32] = [:]
        var realmOfListener: [Int32] = []
        var realms: [Realm] = []
        var groups: [HostGroup] = []
        var nodes: [PathNode] = []
        var buckets: [Bucket] = []
        var headerNames: [HeaderAnchor] = []
        var lists: [Int32] = []
        var listRanges: [ListRange] = []
        var candidates: [Candidate] = []
        var predicates: [CompiledPredicate] = []
        var patterns: [TextPattern] = []
        /// By route: what its paths spell out.
        var spellings: [PathPattern.Spelling] = []
    }

    private let listeners: [String]
    private let lenientListeners: Set<String>
    var parts = Parts()
    /// By bucket number, in the order of the file.
    private var alternatives: [[Alternative]] = []
    /// Compiled patterns by their source, shared between routes.
    var patterns: [String: TextPattern] = [:]

    init(listeners: [String], lenient: Set<String>) {
        self.listeners = listeners
        lenientListeners = lenient
    }

    mutating func add(_ given: [RouteConfig]) throws(DiagnosticList) {
        parts.spellings = Array(repeating: [], count: given.count)
        var routes = given
        let faults = routes.indices.flatMap { check(&routes[$0], at: $0) }
        if !faults.isEmpty { throw DiagnosticList(faults) }
        var realmOfRoutes: [[Int]: Int32] = [:]
        for listener in listeners {
            let visible = routes.indices.filter {
                routes[$0].listeners.isEmpty || routes[$0].listeners.contains(listener)
            }
            let realm = realmOfRoutes[visible] ?? makeRealm(routes, visible)
            realmOfRoutes[visible] = realm
            parts.realmOfListener.append(realm)
        }
    }

    mutating func finish(_ text: inout RouteText) -> Parts {
        for bucket in alternatives.indices { flatten(bucket: Int32(bucket), alternatives[bucket], &text) }
        parts.patterns = Array(patterns.values)
        return parts
    }

    // MARK: Faults

    /// Compiles the patterns on the way, so that each is compiled once, and gives paths the form in which they are compared.
    private mutating func check(_ route: inout RouteConfig, at index: Int) -> [Diagnostic] {
        var faults: [Diagnostic] = []
        let (name, place) = (route.name, route.location)
        func report(_ message: String, hint: String? = nil, at location: SourceLocation? = nil) {
            faults.append(
                Diagnostic(location: location ?? place, message: "route \"\(name)\": \(message)", hint: hint))
        }
        for name in route.listeners where !listeners.contains(name) {
            report("there is no listener \"\(name)\"", hint: "listeners are \(listeners.joined(separator: ", "))")
        }
        let rules = PathPattern.Rules(route, listeners: listeners, lenient: lenientListeners)
        for number in route.matches.indices {
            let match = route.matches[number]
            do throws(PathPattern.Fault) {
                route.matches[number].path = try compile(match.path, rules, &parts.spellings[index])
            } catch {
                report(error.message, hint: error.hint, at: match.pathLocation)
            }
            for header in match.headers {
                guard case .regex(let pattern) = header.predicate, patterns[pattern] == nil else { continue }
                do {
                    patterns[pattern] = try TextPattern(pattern)
                } catch {
                    report(
                        "the pattern for the header \"\(header.name)\" is not valid: \(error.kind)",
                        hint: "patterns are in RE2 syntax")
                }
            }
        }
        return faults
    }

    private func compile(
        _ path: PathMatch, _ rules: PathPattern.Rules, _ spelling: inout PathPattern.Spelling
    ) throws(PathPattern.Fault) -> PathMatch {
        func key(_ text: String) throws(PathPattern.Fault) -> String {
            let pattern = try PathPattern(text, rules)
            spelling.formUnion(pattern.spelling)
            return pattern.key
        }
        switch path {
        case .exact(let text): return .exact(try key(text))
        case .prefix(let text): return .prefix(try key(text))
        case .any, .service, .method, .anyServiceMethod: return path
        }
    }

    // MARK: Hosts and paths

    private mutating func makeRealm(_ routes: [RouteConfig], _ visible: [Int]) -> Int32 {
        let realm = Int32(parts.realms.count)
        parts.realms.append(Realm())
        for position in visible {
            for match in routes[position].matches {
                for host in match.hosts.isEmpty ? ["*"] : match.hosts {
                    let group = hostGroup(host, in: realm)
                    let (bucket, needsMore) = place(match.path, in: group)
                    alternatives[Int(bucket)].append(
                        Alternative(route: Int32(position), headers: match.headers, needsMore: needsMore))
                }
            }
        }
        return realm
    }

    private mutating func hostGroup(_ host: String, in realm: Int32) -> Int32 {
        let number = Int(realm)
        if host == "*" {
            if parts.realms[number].anyHost < 0 { parts.realms[number].anyHost = makeGroup() }
            return parts.realms[number].anyHost
        }
        parts.realms[number].hasHosts = true
        let isSuffix = host.hasPrefix("*.")
        var name = isSuffix ? String(host.dropFirst(2)) : host
        if name.hasSuffix(".") { name.removeLast() }
        if isSuffix {
            parts.realms[number].longestSuffix = max(parts.realms[number].longestSuffix, Int32(name.utf8.count))
        }
        let key = RouteIndex.Key(scope: .init(isSuffix ? .hostSuffix : .host, of: realm), text: name)
        if let known = parts.index[key] { return known }
        let group = makeGroup()
        parts.index[key] = group
        return group
    }

    private mutating func makeGroup() -> Int32 {
        parts.groups.append(HostGroup(root: makeNode(parent: -1)))
        return Int32(parts.groups.count - 1)
    }

    /// The bucket that a path rule belongs to, and whether it wants the path to go on.
    private mutating func place(_ path: PathMatch, in group: Int32) -> (bucket: Int32, needsMore: Bool) {
        switch path {
        case .any: return (anyPath(of: group), false)
        case .service(let service): return (prefix([service[...]], in: group), true)
        case .method(let service, let method): return (exact([service[...], method[...]], in: group), false)
        case .anyServiceMethod(let method):
            parts.groups[Int(group)].hasMethods = true
            let key = RouteIndex.Key(scope: .init(.method, of: group), text: method)
            let bucket = parts.index[key] ?? makeBucket()
            parts.index[key] = bucket
            return (bucket, false)
        case .exact(let path): return (exact(elements(path), in: group), false)
        case .prefix(let path):
            let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
            return (trimmed.isEmpty ? anyPath(of: group) : prefix(elements(trimmed), in: group), false)
        }
    }

    private func elements(_ path: String) -> [Substring] {
        path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    }

    private mutating func anyPath(of group: Int32) -> Int32 {
        if parts.groups[Int(group)].anyPath < 0 { parts.groups[Int(group)].anyPath = makeBucket() }
        return parts.groups[Int(group)].anyPath
    }

    private mutating func exact(_ elements: [Substring], in group: Int32) -> Int32 {
        let node = Int(self.node(elements, in: group))
        if parts.nodes[node].exact < 0 { parts.nodes[node].exact = makeBucket() }
        return parts.nodes[node].exact
    }

    private mutating func prefix(_ elements: [Substring], in group: Int32) -> Int32 {
        let node = Int(self.node(elements, in: group))
        if parts.nodes[node].prefix < 0 { parts.nodes[node].prefix = makeBucket() }
        return parts.nodes[node].prefix
    }

    private mutating func node(_ elements: [Substring], in group: Int32) -> Int32 {
        var node = parts.groups[Int(group)].root
        for element in elements {
            let key = RouteIndex.Key(scope: .init(.element, of: node), text: String(element))
            let child = parts.index[key] ?? makeNode(parent: node)
            parts.index[key] = child
            parts.nodes[Int(node)].hasChildren = true
            node = child
        }
        return node
    }

    private mutating func makeNode(parent: Int32) -> Int32 {
        parts.nodes.append(PathNode(parent: parent))
        return Int32(parts.nodes.count - 1)
    }

    private mutating func makeBucket() -> Int32 {
        alternatives.append([])
        return Int32(alternatives.count - 1)
    }
}
