import MoongateConfig

/// A route's rewrite, ready to be made.
struct Rewrite {
    private enum Path {
        case whole(Bytes)
        /// Prefixes without a slash at their end, the longest first.
        case prefix(of: [Bytes], Bytes)
        case pattern(TextPattern, Bytes)
    }

    /// Bytes that a path may have after a pattern was replaced in it.
    private static let longestPath = 64 * 1024

    private let path: Path?
    /// `nil`: the client's stays, or the endpoint has one.
    private let authority: Bytes?
    /// `:authority` is the endpoint's host.
    let namesEndpoint: Bool

    /// - Throws: what is wrong with the pattern or its substitution.
    init(_ config: RewriteConfig, of route: RouteConfig) throws(Diagnostic) {
        switch config.path {
        case nil: path = nil
        case .whole(let text): path = .whole(Bytes.allocated(text))
        case .prefix(let text): path = .prefix(of: Rewrite.prefixes(of: route), Bytes.allocated(Rewrite.trimmed(text)))
        case .pattern(let text, let substitution):
            path = .pattern(try Rewrite.pattern(text, substitution, route), Bytes.allocated(substitution))
        }
        if case .literal(let text) = config.authority { authority = Bytes.allocated(text) } else { authority = nil }
        namesEndpoint = config.authority == .endpoint
    }

    /// The rewrite must not be used afterwards.
    func free() {
        authority?.base.deallocate()
        switch path {
        case nil: break
        case .whole(let text), .pattern(_, let text): text.base.deallocate()
        case .prefix(let prefixes, let text):
            for prefix in prefixes { prefix.base.deallocate() }
            text.base.deallocate()
        }
    }

    // MARK: Making

    private static func pattern(
        _ text: String, _ substitution: String, _ route: RouteConfig
    ) throws(Diagnostic) -> TextPattern {
        let pattern: TextPattern
        do throws(TextPattern.Fault) {
            pattern = try TextPattern(text)
        } catch {
            throw Diagnostic(
                location: route.location,
                message: "route \"\(route.name)\": the pattern of path_regex is not valid: \(error.message)",
                hint: "patterns are in RE2 syntax")
        }
        if let fault = pattern.fault(ofSubstitution: substitution) {
            throw Diagnostic(
                location: route.location,
                message: "route \"\(route.name)\": the substitution of path_regex is not valid: \(fault)",
                hint: "\\1 to \\9 are the pattern's groups, \\\\ is a backslash")
        }
        return pattern
    }

    private static func prefixes(of route: RouteConfig) -> [Bytes] {
        let texts = route.matches.map { match in
            switch match.path {
            case .prefix(let prefix): trimmed(prefix)
            case .service(let service): "/\(service)"
            case .any, .exact, .method, .anyServiceMethod: ""
            }
        }
        return Set(texts).sorted { $0.utf8.count > $1.utf8.count }.map { Bytes.allocated($0) }
    }

    private static func trimmed(_ path: String) -> String { path.hasSuffix("/") ? String(path.dropLast()) : path }

    // MARK: Doing

    /// Changes the head of a request.
    /// - Returns: false when no path that can be sent comes of it.
    func apply(to request: UnsafeMutablePointer<HeaderList>) -> Bool {
        if let authority { request.pointee.set(name: Bytes(":authority"), value: authority) }
        guard let path, let old = request.pointee.value(.path), !old.isEmpty, old[0] == UInt8(ascii: "/") else {
            return true
        }
        let plain = RouteTable.withoutQuery(old)
        let query = old[plain.count..<old.count]
        switch path {
        case .whole(let text): set(request, text, .empty, query)
        case .prefix(let prefixes, let text):
            guard let prefix = prefixes.first(where: { Rewrite.isPrefix($0, of: plain) }) else { return true }
            set(request, text, plain[prefix.count..<plain.count], query)
        case .pattern(let pattern, let text): return replace(request, pattern, text, plain, query)
        }
        return true
    }

    private static func isPrefix(_ prefix: Bytes, of path: Bytes) -> Bool {
        path.starts(with: prefix) && (path.count == prefix.count || path[prefix.count] == UInt8(ascii: "/"))
    }

    private func set(_ request: UnsafeMutablePointer<HeaderList>, _ start: Bytes, _ rest: Bytes, _ query: Bytes) {
        let isEmpty = start.isEmpty && rest.isEmpty
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: start.count + rest.count + query.count + 1) { buffer in
            var writer = TextWriter(buffer)
            writer.append(isEmpty ? Bytes("/") : start)
            writer.append(rest)
            writer.append(query)
            request.pointee.set(name: Bytes(":path"), value: writer.bytes)
        }
    }

    private func replace(
        _ request: UnsafeMutablePointer<HeaderList>, _ pattern: TextPattern, _ text: Bytes, _ path: Bytes,
        _ query: Bytes
    ) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Rewrite.longestPath) { buffer in
            guard let base = buffer.baseAddress, let count = pattern.replace(path, by: text, into: buffer), count > 0,
                base[0] == UInt8(ascii: "/")
            else { return false }
            set(request, Bytes(base, count), .empty, query)
            // Groups of a pattern can put dot segments together that were none.
            return RequestPath.fault(Bytes(base, count)) == nil
        }
    }
}
