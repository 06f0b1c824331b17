/// The options of `moon.jwt.verifier` and `moon.jwt.verify`.
struct JWTOptions {
    private static let known = [
        "algorithms", "audience", "cache", "issuer", "jwks", "jwks_path", "jwks_upstream", "key", "leeway", "max_age",
        "required", "secret", "secret_jwks", "subject",
    ]

    private let options: TapeView
    private let caller: StaticString

    /// - Throws: what is unknown.
    init(_ options: TapeView, _ caller: StaticString) throws(JWTFault) {
        self.options = options
        self.caller = caller
        for entry in options.entries {
            let name = entry.key.bytes?.string ?? "a list"
            guard JWTOptions.known.contains(name) else {
                throw JWTFault("\(caller): \(.unknown("option", name, among: JWTOptions.known))")
            }
        }
    }

    /// - Parameters:
    ///   - cacheCapacity: `nil`: as the options say.
    ///   - sets: `nil`: the verifier is not there for long enough to follow a set that is fetched.
    func verifier(cacheCapacity: Int? = nil, sets: FetchedKeySets? = nil) throws(JWTFault) -> JWTVerifier {
        do throws(JWTFault) {
            var rules = JWTVerifier.Rules()
            rules.algorithms = try algorithms()
            rules.issuers = try texts("issuer")
            rules.audiences = try texts("audience")
            rules.subjects = try texts("subject")
            rules.required = try texts("required")
            rules.leeway = try number("leeway", 0, upTo: 3600)
            let capacity = try number("cache", 1024, upTo: 65536)
            let keys = try keys(rules.algorithms)
            return JWTVerifier(
                rules, keys: keys, cacheCapacity: cacheCapacity ?? Int(capacity),
                feed: try feed(sets, hasKeys: keys != nil))
        } catch {
            throw JWTFault("\(caller): \(error.message)")
        }
    }

    /// The set that is fetched from `jwks_upstream`; `nil`: the options name none.
    private func feed(_ sets: FetchedKeySets?, hasKeys: Bool) throws(JWTFault) -> JWTKeyFeed? {
        guard let upstream = options.member("jwks_upstream") else {
            guard options.member("jwks_path") == nil, options.member("max_age") == nil else {
                throw JWTFault("jwks_path and max_age are for jwks_upstream")
            }
            return nil
        }
        guard !hasKeys else { throw JWTFault("jwks_upstream excludes key, secret, jwks and secret_jwks") }
        guard let sets else { throw JWTFault("jwks_upstream is for moon.jwt.verifier") }
        guard let path = options.member("jwks_path") else { throw JWTFault("jwks_path is missing") }
        let name = FetchedKeySet.Name(
            upstream: String(decoding: try JWTOptions.text(upstream, "jwks_upstream"), as: UTF8.self),
            path: String(decoding: try JWTOptions.text(path, "jwks_path"), as: UTF8.self))
        guard let set = sets.set(name) else {
            throw JWTFault("more than \(FetchedKeySets.limit) key sets are fetched")
        }
        let maxAge = try number("max_age", 86_400, upTo: 31_536_000)
        return JWTKeyFeed(set, maxAge: UInt64(maxAge * 1e9))
    }

    /// From a key set as text or as a table.
    static func keySet(
        _ value: TapeView, kind: JWTKeySet.Kind, _ algorithms: [JWTAlgorithm]?
    ) throws(JWTFault) -> JWTKeySet {
        guard let text = value.bytes else { return try JWTKeySet(jwks: value, kind: kind, algorithms: algorithms) }
        do {
            let document = try JSONDocument(text, limits: .init(bytes: 1 << 18, values: 1 << 14))
            guard let root = document.root else { throw JWTFault("jwks is empty") }
            return try JWTKeySet(jwks: root, kind: kind, algorithms: algorithms)
        } catch let fault as JWTFault {
            throw fault
        } catch let fault as JSONFault {
            throw JWTFault("jwks: \(fault.text)")
        } catch {
            throw JWTFault("jwks is not taken")
        }
    }

    /// The option that a text stands under says what it is; its looks never do.
    private func keys(_ algorithms: [JWTAlgorithm]?) throws(JWTFault) -> JWTKeySet? {
        let given = ["key", "secret", "jwks", "secret_jwks"].compactMap { (name: StaticString) in
            options.member(name).map { (name, $0) }
        }
        guard let (name, value) = given.first else { return nil }
        guard given.count == 1 else { throw JWTFault("key, secret, jwks and secret_jwks exclude each other") }
        switch name.description {
        case "key": return try JWTKeySet(publicPEM: try JWTOptions.text(value, name), algorithms: algorithms)
        case "secret":
            return try JWTKeySet(secret: try JWTSecret(try JWTOptions.text(value, name)), algorithms: algorithms)
        case "jwks": return try JWTOptions.keySet(value, kind: .published, algorithms)
        default: return try JWTOptions.keySet(value, kind: .secrets, algorithms)
        }
    }

    static func text(_ value: TapeView, _ name: StaticString) throws(JWTFault) -> [UInt8] {
        guard let text = value.bytes, !text.isEmpty else { throw JWTFault("\(name) must be a text that is not empty") }
        return Array(text.buffer)
    }

    private func algorithms() throws(JWTFault) -> [JWTAlgorithm]? {
        guard options.member("algorithms") != nil else { return nil }
        var found: [JWTAlgorithm] = []
        for name in try texts("algorithms") {
            guard let algorithm = JWTAlgorithm(rawValue: String(decoding: name, as: UTF8.self)) else {
                throw JWTFault("unknown algorithm (known: \(known: JWTAlgorithm.allCases.map(\.rawValue)))")
            }
            found.append(algorithm)
        }
        guard !found.isEmpty else { throw JWTFault("algorithms is empty") }
        return found
    }

    /// One text, or a list of them.
    private func texts(_ name: StaticString) throws(JWTFault) -> [[UInt8]] {
        guard let value = options.member(name) else { return [] }
        var found: [[UInt8]] = []
        for element in value.elements ?? [value] {
            guard let text = element.bytes else { throw JWTFault("\(name) must be a text or a list of texts") }
            found.append(Array(text.buffer))
        }
        // An empty list must not read as "any".
        guard !found.isEmpty || name.description == "required" else { throw JWTFault("\(name) is empty") }
        return found
    }

    private func number(_ name: StaticString, _ fallback: Double, upTo limit: Double) throws(JWTFault) -> Double {
        guard let value = options.member(name) else { return fallback }
        guard let number = value.number, (0...limit).contains(number) else {
            throw JWTFault("\(name) must be 0 to \(Int(limit))")
        }
        return number
    }
}
