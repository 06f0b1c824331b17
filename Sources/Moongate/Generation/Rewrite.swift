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
    /// The rules of the route for paths that its rewrite makes.
    private let allowedTraits: PathTraits
    /// `nil`: the client's stays, or the endpoint has one.
    private let authority: Bytes?
    /// `:authority` is the endpoint's host.
    let namesEndpoint: Bool

    /// - Parameter isLenient: some listener of the route is.
    /// - Throws: what is wrong with the path, or with the pattern or its substitution.
    init(_ config: RewriteConfig, of route: RouteConfig, isLenient: Bool = false) throws(Diagnostic) {
        allowedTraits = PathTraits.allowed(by: route)
        let made: (String) throws(Diagnostic) -> String = { text throws(Diagnostic) in
            try Rewrite.canonical(text, config, route, isLenient)
        }
        switch config.path {
        case nil: path = nil
        case .whole(let text): path = .whole(Bytes.allocated(try made(text)))
        case .prefix(let text):
            let text = Rewrite.trimmed(try made(text))
            path = .prefix(of: Rewrite.prefixes(of: route, isLenient), Bytes.allocated(text))
        case .pattern(let text, let substitution):
            try Rewrite.checkEscapes(of: text, config, route, isLenient)
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

    private static func canonical(
        _ text: String, _ config: RewriteConfig, _ route: RouteConfig, _ isLenient: Bool
    ) throws(Diagnostic) -> String {
        do throws(PathPattern.Fault) {
            return try PathPattern(text, .init(route, isLenient: isLenient)).canonical
        } catch {
            throw Diagnostic(
                location: config.pathLocation ?? route.location,
                message: "route \"\(route.name)\": rewrite: \(error.message)", hint: error.hint)
        }
    }

    /// The pattern looks at canonical paths: an escape that these never have is none that it can find.
    private static func checkEscapes(
        of pattern: String, _ config: RewriteConfig, _ route: RouteConfig, _ isLenient: Bool
    ) throws(Diagnostic) {
        let octets = Array(pattern.utf8)
        for index in octets.indices where index + 2 < octets.count {
            guard let value = octets.withBytes({ PathEscape.value($0.base + index) }) else { continue }
            let text = String(decoding: octets[index..<index + 3], as: UTF8.self)
            let upper = text.uppercased()
            let hint: String
            if PathEscape.isUnreserved(value) {
                hint = "write \(value == UInt8(ascii: ".") ? "\\." : String(UnicodeScalar(value)))"
            } else if upper != text && !isLenient {
                hint = "write \(upper)"
            } else {
                continue
            }
            throw Diagnostic(
                location: config.pathLocation ?? route.location,
                message: "route \"\(route.name)\": path_regex looks for \(text), which no canonical path has",
                hint: hint)
        }
    }

    /// In the form in which paths are compared.
    private static func prefixes(of route: RouteConfig, _ isLenient: Bool) -> [Bytes] {
        let texts = route.matches.map { match in
            switch match.path {
            case .prefix(let prefix):
                // One that is none is a fault of the route table, which reports it.
                trimmed((try? PathPattern(prefix, .init(route, isLenient: isLenient)))?.key ?? prefix)
            case .service(let service): "/\(service)"
            case .any, .exact, .method, .anyServiceMethod: ""
            }
        }
        return Set(texts).sorted { $0.utf8.count > $1.utf8.count }.map { Bytes.allocated($0) }
    }

    private static func trimmed(_ path: String) -> String { path.hasSuffix("/") ? String(path.dropLast()) : path }

    // MARK: Doing

    /// Changes the head of a request.
    /// - Parameter mode: that of the request's listener.
    /// - Returns: false when no path that can be sent comes of it.
    func apply(to request: HeaderList, _ mode: PathMode) -> Bool {
        if let authority { request.set(name: Bytes(":authority"), value: authority) }
        guard let path, let old = request.value(.path), !old.isEmpty, old[0] == UInt8(ascii: "/") else {
            return true
        }
        let plain = RouteTable.withoutQuery(old)
        let query = old[plain.count..<old.count]
        switch path {
        case .whole(let text): set(request, text, .empty, query)
        case .prefix(let prefixes, let text):
            guard let end = prefixes.lazy.compactMap({ Rewrite.end(of: $0, in: plain) }).first else { return true }
            set(request, text, plain[end..<plain.count], query)
        case .pattern(let pattern, let text):
            guard replace(request, pattern, text, plain, query) else { return false }
        }
        return settle(request, mode)
    }

    /// Groups of a pattern can put together what the client's path was refused for.
    private func settle(_ request: HeaderList, _ mode: PathMode) -> Bool {
        guard let path = request.value(.path) else { return false }
        if RequestPath.isPlain(path) { return true }
        var settled = CanonicalPath()
        guard settled.settle(request, path, mode) == nil else { return false }
        return settled.traits.intersection(.restricted).subtracting(allowedTraits).isEmpty
    }

    /// How much of the path is the prefix, which ends with an element; `nil`: the path does not begin with it.
    private static func end(of prefix: Bytes, in path: Bytes) -> Int? {
        if path.starts(with: prefix) && (path.count == prefix.count || path[prefix.count] == UInt8(ascii: "/")) {
            return prefix.count
        }
        guard !RequestPath.isPlain(path) else { return nil }
        for end in 1...path.count where end == path.count || path[end] == UInt8(ascii: "/") {
            let isPrefix = PathKey.Reading.spellings.contains { reading in
                PathKey.withKey(path[0..<end], reading) { $0.equals(prefix) }
            }
            if isPrefix { return end }
        }
        return nil
    }

    private func set(_ request: HeaderList, _ start: Bytes, _ rest: Bytes, _ query: Bytes) {
        let isEmpty = start.isEmpty && rest.isEmpty
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: start.count + rest.count + query.count + 1) { buffer in
            var writer = TextWriter(buffer)
            writer.append(isEmpty ? Bytes("/") : start)
            writer.append(rest)
            writer.append(query)
            request.set(name: Bytes(":path"), value: writer.bytes)
        }
    }

    private func replace(
        _ request: HeaderList, _ pattern: TextPattern, _ text: Bytes, _ path: Bytes,
        _ query: Bytes
    ) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Rewrite.longestPath) { buffer in
            guard let base = buffer.baseAddress, let count = pattern.replace(path, by: text, into: buffer), count > 0,
                base[0] == UInt8(ascii: "/")
            else { return false }
            set(request, Bytes(base, count), .empty, query)
            return true
        }
    }
}
