import MoongateConfig

/// What the edge would do with a request, and why: for `moongate explain` and the admin listener.
public struct ExplainReport {
    private struct Section {
        let listener: ListenerConfig
        let explanation: RouteExplanation
        let path: ExplainedPath
    }

    /// What keeps a request from being explained.
    public struct Failure: Error {
        public let message: String
    }

    private let request: ExplainedRequest
    private let config: Configuration
    private let sections: [Section]

    /// - Throws: `Failure` for a listener that does not exist, `DiagnosticList` for routes that cannot be used.
    public init(_ request: ExplainedRequest, _ config: Configuration) throws {
        let table = try RouteTable(config)
        try self.init(request, config, table)
    }

    init(_ request: ExplainedRequest, _ config: Configuration, _ table: RouteTable) throws(Failure) {
        self.request = request
        self.config = config
        let indexes = config.listeners.indices.filter {
            request.listener == nil || config.listeners[$0].name == request.listener
        }
        guard !indexes.isEmpty else {
            let names = config.listeners.map(\.name).joined(separator: ", ")
            throw Failure(message: "there is no listener \(request.listener ?? ""); there is \(names)")
        }
        sections = indexes.map { index in
            let listener = config.listeners[index]
            var path = ExplainedPath(request, on: listener)
            guard path.fault == nil else {
                return Section(listener: listener, explanation: RouteExplanation(), path: path)
            }
            var asked = request
            asked.path = path.text
            let explanation = asked.withHead { head in
                let explanation = RouteExplanation(config.routes, table, listener: index, name: listener.name, head)
                let route = explanation.route
                path.check(route >= 0 ? config.routes[route] : nil)
                if !table.isUnambiguous(listener: index, headers: head, route: route) { path.isAmbiguous() }
                return explanation
            }
            return Section(listener: listener, explanation: explanation, path: path)
        }
    }

    // MARK: What is told

    private func route(_ section: Section) -> RouteConfig? {
        let index = section.explanation.route
        return index >= 0 ? config.routes[index] : nil
    }

    private struct Policy {
        let name: String
        let place: String
        let isDisabled: Bool
    }

    /// In the order in which they run on the request.
    private func policies(_ section: Section) -> [Policy] {
        let route = route(section)
        let own = section.listener.policies.map { policy in
            let isDisabled = route?.disabledPolicies.contains { policy.answers(to: $0.name) } ?? false
            return Policy(name: policy.shownName, place: "listener", isDisabled: isDisabled)
        }
        return own + (route?.policies ?? []).map { Policy(name: $0.shownName, place: "route", isDisabled: false) }
    }

    /// The winner's settings that do not say which requests it takes.
    private func settings(_ route: RouteConfig) -> [(key: String, value: JSONValue)] {
        SettingsView.settings(of: route)
    }

    private static func share(_ upstream: WeightedUpstream, of route: RouteConfig) -> Int {
        let sum = route.upstreams.reduce(0) { $0 + $1.weight }
        return sum == 0 ? 0 : Int((Double(upstream.weight) * 100 / Double(sum)).rounded())
    }

    private func reason(_ alternative: RouteExplanation.Alternative, _ section: Section) -> String {
        switch alternative.outcome {
        case .wins: return "wins"
        case .otherListener: return "belongs to other listeners"
        case .host: return "the host does not fit"
        case .path: return "the path does not fit"
        case .header(let header): return "the header \(ExplainReport.text(header)) does not fit"
        case .loses(let step):
            let winner = route(section)?.name ?? ""
            let isOwn = alternative.route == section.explanation.route
            let who = isOwn ? "another match of the route" : winner
            switch step {
            case .host: return "fits, but \(who) has a more specific host"
            case .path: return "fits, but \(who) has a more specific path"
            case .headers: return "fits, but \(who) has more header predicates"
            case .order: return "fits, but \(who) stands before it in the file"
            }
        }
    }

    private static func text(_ header: HeaderMatch) -> String {
        switch header.predicate {
        // The values may be keys that let somebody in.
        case .exact: "\(header.name): exactly \(SettingsView.hidden)"
        case .prefix: "\(header.name): begins with \(SettingsView.hidden)"
        case .regex: "\(header.name): matches \(SettingsView.hidden)"
        case .present: "\(header.name): present"
        case .absent: "\(header.name): absent"
        }
    }

    private static func text(_ match: RouteMatch) -> String {
        var parts = match.hosts.isEmpty ? [] : ["host \(match.hosts.joined(separator: " or "))"]
        switch match.path {
        case .any: break
        case .service(let service): parts.append("service \(service)")
        case .method(let service, let method): parts.append("service \(service), method \(method)")
        case .anyServiceMethod(let method): parts.append("method \(method)")
        case .exact(let path): parts.append("path \(path)")
        case .prefix(let prefix): parts.append("path_prefix \(prefix)")
        }
        parts += match.headers.map { "header \(text($0))" }
        return parts.isEmpty ? "every request" : parts.joined(separator: ", ")
    }

    private static func text(_ step: RouteExplanation.Step?) -> String {
        switch step {
        case nil: "nothing else fits"
        case .host: "its host is the most specific"
        case .path: "its path is the most specific"
        case .headers: "it has the most header predicates"
        case .order: "it stands first in the file"
        }
    }

    private static func address(_ listener: ListenerConfig) -> String {
        let host = listener.address.host
        return "\(host.contains(":") ? "[\(host)]" : host):\(listener.address.port)"
    }

    // MARK: JSON

    public var json: JSONValue {
        .object([
            (
                "request",
                .object([
                    ("method", .string(request.method)), ("host", .string(request.host)),
                    ("path", .string(request.path)),
                    ("headers", .object(request.headers.map { ($0.name, .string($0.value)) })),
                ])
            ),
            ("listeners", .array(sections.map(json))),
        ])
    }

    private func json(_ section: Section) -> JSONValue {
        var members: [(key: String, value: JSONValue)] = [
            ("listener", .string(section.listener.name)),
            ("path", .string(section.path.text)),
            ("refused", section.path.fault.map { .string($0.text) } ?? .literal("null")),
            ("route", route(section).map { .string($0.name) } ?? .literal("null")),
            ("decided_by", section.explanation.decidedBy.map { .string($0.rawValue) } ?? .literal("null")),
            (
                "policies",
                .array(
                    policies(section).map { policy in
                        .object([
                            ("name", .string(policy.name)), ("of", .string(policy.place)),
                            ("disabled", .bool(policy.isDisabled)),
                        ])
                    })
            ),
        ]
        if let route = route(section) {
            members.append(
                (
                    "upstreams",
                    .array(
                        route.upstreams.map { upstream in
                            .object([
                                ("name", .string(upstream.name)), ("weight", .integer(upstream.weight)),
                                ("settings", .object(settings(upstream))),
                            ])
                        })
                ))
            members.append(("settings", .object(settings(route))))
        }
        let alternatives = section.explanation.alternatives.map { alternative -> JSONValue in
            let route = config.routes[alternative.route]
            return .object([
                ("route", .string(route.name)),
                ("match", .string(ExplainReport.text(route.matches[alternative.match]))),
                ("fits", .bool(alternative.fits)), ("reason", .string(reason(alternative, section))),
            ])
        }
        members.append(("alternatives", .array(alternatives)))
        return .object(members)
    }

    private func settings(_ upstream: WeightedUpstream) -> [(key: String, value: JSONValue)] {
        guard let config = config.upstreams.first(where: { $0.name == upstream.name }) else { return [] }
        return SettingsView.settings(of: config)
    }

    // MARK: Text

    public var text: String { sections.map(text).joined(separator: "\n") }

    private func text(_ section: Section) -> String {
        var rows = [["listener", "\(section.listener.name) (\(ExplainReport.address(section.listener)))"]]
        rows.append(["request", "\(request.method) \(request.host) \(request.path)"])
        for header in request.headers { rows.append(["", "\(header.name): \(header.value)"]) }
        rows += section.path.rows(for: request.path)
        if let route = route(section) {
            let winner = section.explanation.alternatives.first { $0.outcome == .wins }
            let match = winner.map { ExplainReport.text(route.matches[$0.match]) } ?? ""
            rows.append(["route", "\(route.name) (\(match)): \(ExplainReport.text(section.explanation.decidedBy))"])
        } else if section.path.fault == nil {
            rows.append(["route", "none: UNIMPLEMENTED for gRPC, 404 for others"])
        }
        let policies = policies(section).map { policy in
            "\(policy.name) (\(policy.place)\(policy.isDisabled ? ", disabled by the route" : ""))"
        }
        rows.append(["policies", policies.isEmpty ? "none" : policies.joined(separator: ", ")])
        if let route = route(section) {
            for (index, upstream) in route.upstreams.enumerated() {
                let share = route.upstreams.count > 1 ? " \(ExplainReport.share(upstream, of: route)) %" : ""
                rows.append([index == 0 ? "upstreams" : "", upstream.name + share])
                rows += SettingsView.lines(settings(upstream)).map { ["", "  \($0[0]): \($0[1])"] }
            }
            let settings = SettingsView.lines(settings(route))
            rows += settings.enumerated().map {
                [$0.offset == 0 ? "settings" : "", "\($0.element[0]): \($0.element[1])"]
            }
        }
        let others = section.explanation.alternatives.filter { $0.outcome != .wins }
        rows += others.enumerated().map { index, alternative in
            let route = config.routes[alternative.route]
            let match = ExplainReport.text(route.matches[alternative.match])
            return [index == 0 ? "others" : "", "\(route.name) (\(match)): \(reason(alternative, section))"]
        }
        return EdgeReport.table(rows)
    }
}

extension RouteExplanation.Alternative {
    fileprivate var fits: Bool {
        switch outcome {
        case .wins, .loses: true
        case .otherListener, .host, .path, .header: false
        }
    }
}
