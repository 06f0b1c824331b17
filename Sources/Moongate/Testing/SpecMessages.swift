import MoongateLua

/// What a spec says about a request, made whole.
struct SpecRequest {
    private(set) var fields: [(String, String)] = []
    let body: [UInt8]
    let facts: ConnectionFacts

    private static let known = [
        "authority", "body", "grpc", "headers", "local_address", "messages", "method", "path", "remote", "scheme",
        "tls",
    ]

    /// - Throws: `SpecFault` for what is unknown or cannot be.
    init(_ value: LuaValue?) throws(SpecFault) {
        let table = try SpecTable(value, "a request", known: SpecRequest.known)
        facts = try SpecRequest.facts(table)
        body = try table.body() ?? []
        let headers = try table.headers("headers")
        let grpc = try table.text("grpc")
        let path = try SpecRequest.canonical(try table.text("path") ?? grpc ?? "/", isGRPC: grpc != nil)
        var own: [(String, String)] = [
            (":method", try table.text("method") ?? (grpc == nil ? "GET" : "POST")),
            (":scheme", try table.text("scheme") ?? (facts.tls == nil ? "http" : "https")),
            (":authority", try table.text("authority") ?? "shop.example"),
            (":path", path),
        ]
        if grpc != nil { own += [("content-type", "application/grpc"), ("te", "trailers")] }
        // Headers of the spec stand in the place of those that are made up.
        fields = own.filter { name, _ in !headers.contains { $0.0 == name } }
        fields = headers.filter { $0.0.hasPrefix(":") } + fields + headers.filter { !$0.0.hasPrefix(":") }
    }

    /// Policies see paths as the edge makes them.
    private static func canonical(_ path: String, isGRPC: Bool) throws(SpecFault) -> String {
        guard path.hasPrefix("/") else { return path }
        let (outcome, made) = RequestPath.canonicalize(path, .strict, isGRPC: isGRPC)
        if case .refused(let fault) = outcome {
            throw SpecFault("path: the edge refuses '\(path)' before policies run: \(fault.text)")
        }
        return made
    }

    private static func facts(_ table: SpecTable) throws(SpecFault) -> ConnectionFacts {
        let remote = try address(table, "remote", "10.0.0.1:50000")
        let local = try address(table, "local_address", "10.0.0.9:8080")
        return ConnectionFacts(
            listener: .of("main"), listenerName: "main", peer: remote, local: local, tls: try tls(table))
    }

    private static func address(
        _ table: SpecTable, _ key: String, _ fallback: String
    ) throws(SpecFault) -> SocketAddress {
        let text = try table.text(key) ?? fallback
        guard let address = SocketAddress(text) ?? SocketAddress(host: text, port: 50000) else {
            throw SpecFault("\(key): '\(text)' is no address such as 10.0.0.1:50000")
        }
        return address
    }

    private static func tls(_ table: SpecTable) throws(SpecFault) -> ConnectionFacts.TLS? {
        guard let value = table.values["tls"], value != .bool(false) else { return nil }
        let given = try SpecTable(
            value == .bool(true) ? nil : value, "tls", known: ["cipher", "client", "server_name", "version"])
        return ConnectionFacts.TLS(
            version: try given.text("version") ?? "TLSv1.3",
            cipher: try given.text("cipher") ?? "TLS_AES_128_GCM_SHA256",
            serverName: try given.text("server_name") ?? "", details: try certificate(given.values["client"]))
    }

    /// The client's certificate; `nil`: it has none.
    private static func certificate(_ value: LuaValue?) throws(SpecFault) -> TLSFacts? {
        guard let value, value != .bool(false) else { return nil }
        let given = try SpecTable(
            value == .bool(true) ? nil : value, "client",
            known: ["common_name", "dns_names", "organizations", "uris", "valid"])
        let content = MadeCertificate.Content(
            commonName: try given.text("common_name") ?? "client", organizations: try given.texts("organizations"),
            uriNames: try given.texts("uris"), dnsNames: try given.texts("dns_names"),
            isValid: given.values["valid"] != .bool(false))
        guard let made = MadeCertificate(content) else { throw SpecFault("client: no such certificate can be made") }
        return made
    }
}

/// What a spec says about an upstream's response, made whole.
struct SpecResponse {
    private(set) var fields: [(String, String)] = []
    let body: [UInt8]
    let trailers: [(String, String)]

    /// - Throws: `SpecFault` for what is unknown or cannot be.
    init(_ value: LuaValue?) throws(SpecFault) {
        let table = try SpecTable(
            value, "a response", known: ["body", "grpc_status", "headers", "message", "messages", "status", "trailers"])
        var headers = try table.headers("headers")
        body = try table.body() ?? []
        var status = try table.text("grpc_status")
        if table.values["message"] != nil || table.values["messages"] != nil {
            status = status ?? "0"
            if !headers.contains(where: { $0.0 == "content-type" }) {
                headers.append(("content-type", "application/grpc"))
            }
        }
        var trailers = try table.headers("trailers")
        if let status { trailers.insert(("grpc-status", status), at: 0) }
        self.trailers = trailers
        fields = [(":status", try table.text("status") ?? "200")] + headers
    }
}

/// A table from a spec, its keys checked.
struct SpecTable {
    private(set) var values: [String: LuaValue] = [:]
    private let name: String

    init(_ value: LuaValue?, _ name: String, known: [String]) throws(SpecFault) {
        self.name = name
        guard let value, value != .null else { return }
        guard case .table(let entries) = value else { throw SpecFault("\(name) must be a table with names") }
        for entry in entries {
            guard case .string(let key) = entry.key, known.contains(key) else {
                let shown = entry.key.text ?? "?"
                throw SpecFault("\(name) has no \"\(shown)\" (known: \(known.joined(separator: ", ")))")
            }
            values[key] = entry.value
        }
    }

    func text(_ key: String) throws(SpecFault) -> String? {
        guard let value = values[key] else { return nil }
        guard let text = value.text else { throw SpecFault("\(name): \(key) must be a text") }
        return text
    }

    /// A list of texts; empty without one.
    func texts(_ key: String) throws(SpecFault) -> [String] {
        switch values[key] {
        case nil, .table([]): return []
        case .list(let items):
            let texts = items.compactMap(\.text)
            guard texts.count == items.count else { fallthrough }
            return texts
        default: throw SpecFault("\(name): \(key) must be a list of texts")
        }
    }

    func bytes(_ key: String) throws(SpecFault) -> [UInt8]? {
        if case .bytes(let bytes) = values[key] { return bytes }
        return try text(key).map { Array($0.utf8) }
    }

    /// What `body` says, or `messages` or `message` of gRPC.
    func body() throws(SpecFault) -> [UInt8]? {
        let given = ["body", "message", "messages"].filter { values[$0] != nil }
        guard given.count < 2 else { throw SpecFault("\(name): \(given[0]) and \(given[1]) exclude each other") }
        if let message = try bytes("message") { return GRPCBinding.framed(message) }
        guard let messages = values["messages"] else { return try bytes("body") }
        // An empty table has no kind.
        if messages == .table([]) { return [] }
        guard case .list(let items) = messages else { throw SpecFault("\(name): messages must be a list") }
        var body: [UInt8] = []
        for item in items { body += try message(item) }
        return body
    }

    /// A text, or a table with `bytes` and `compressed`.
    private func message(_ item: LuaValue) throws(SpecFault) -> [UInt8] {
        if let bytes = item.stringBytes { return GRPCBinding.framed(bytes) }
        let table = try SpecTable(item, "a message", known: ["bytes", "compressed"])
        var framed = GRPCBinding.framed(try table.bytes("bytes") ?? [])
        if table.values["compressed"] == .bool(true) { framed[0] = 1 }
        return framed
    }

    /// By name, one value or a list of them; or a list of pairs, where the order matters. Names in lower case.
    func headers(_ key: String) throws(SpecFault) -> [(String, String)] {
        switch values[key] {
        case nil: return []
        case .table(let entries):
            var fields: [(String, String)] = []
            for entry in entries.sorted(by: { $0.key.text ?? "" < $1.key.text ?? "" }) {
                fields += try pairs(entry.key, entry.value, key)
            }
            return fields
        case .list(let items):
            var fields: [(String, String)] = []
            for item in items {
                guard case .list(let pair) = item, pair.count == 2 else {
                    throw SpecFault("\(name): \(key) must be a table by name or a list of {name, value}")
                }
                fields += try pairs(pair[0], pair[1], key)
            }
            return fields
        default: throw SpecFault("\(name): \(key) must be a table")
        }
    }

    private func pairs(_ name: LuaValue, _ value: LuaValue, _ key: String) throws(SpecFault) -> [(String, String)] {
        guard let name = name.text?.lowercased() else { throw SpecFault("\(key): names must be texts") }
        if let text = value.text { return [(name, text)] }
        guard case .list(let values) = value else { throw SpecFault("\(key): the value of \(name) must be a text") }
        return values.compactMap(\.text).map { (name, $0) }
    }
}
