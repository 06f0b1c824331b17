import Glibc
import MoongateConfig

/// What of a request is hashed for the choice of its endpoint: the sources of `hash_on`, of which the first that the request
/// has counts.
final class RequestHash {
    /// A cookie that is given to clients that have none.
    struct Cookie {
        let name: Bytes
        /// `; Max-Age=3600; Path=/; HttpOnly`
        let attributes: Bytes
    }

    /// What a request has of the sources.
    enum Answer: Equatable {
        case hash(UInt64)
        /// The client is to get a new cookie, and the hash is that of its value.
        case needsCookie
        case none
    }

    private enum Source {
        case header(Bytes)
        case cookie(Bytes, isGiven: Bool)
        case queryParameter(Bytes)
        case sourceAddress
    }

    private let sources: [Source]
    /// The first cookie among the sources that is given.
    let cookie: Cookie?

    init(_ config: [HashSource]) {
        sources = config.map { source in
            switch source {
            case .header(let name): .header(Bytes.allocated(name))
            case .cookie(let cookie): .cookie(Bytes.allocated(cookie.name), isGiven: cookie.ttl != nil)
            case .queryParameter(let name): .queryParameter(Bytes.allocated(name))
            case .sourceAddress: .sourceAddress
            }
        }
        let given: [Cookie] = config.compactMap { source in
            guard case .cookie(let cookie) = source, let ttl = cookie.ttl else { return nil }
            let age = ttl == .zero ? "" : "; Max-Age=\(max(1, ttl.components.seconds))"
            return Cookie(
                name: Bytes.allocated(cookie.name),
                attributes: Bytes.allocated("\(age); Path=\(cookie.path); HttpOnly"))
        }
        cookie = given.first
        for unused in given.dropFirst() { unused.free() }
    }

    deinit {
        for source in sources {
            switch source {
            case .header(let name), .cookie(let name, _), .queryParameter(let name): name.base.deallocate()
            case .sourceAddress: break
            }
        }
        cookie?.free()
    }

    /// - Parameters:
    ///   - client: `nil` for requests of our own.
    ///   - givesCookies: whether the request's client can be given a cookie.
    func answer(_ request: HeaderList, client: ClientAddress?, givesCookies: Bool) -> Answer {
        for source in sources {
            switch source {
            case .header(let name):
                if let index = request.index(of: name) {
                    return .hash(StableHash.hash(request[index].value))
                }
            case .cookie(let name, let isGiven):
                if let value = RequestHash.cookie(name, request) { return .hash(StableHash.hash(value)) }
                if isGiven && givesCookies { return .needsCookie }
            case .queryParameter(let name):
                if let path = request.value(.path), let value = RequestHash.parameter(name, path) {
                    return .hash(StableHash.hash(value))
                }
            case .sourceAddress:
                if let client { return .hash(RequestHash.hash(client.socket)) }
            }
        }
        return .none
    }

    /// The hash of a cookie whose value is `number` in 16 hex digits.
    static func hash(cookie number: UInt64) -> UInt64 {
        var hash: UInt64 = 0
        RequestNumber.withText(number) { hash = StableHash.hash($0) }
        return hash
    }

    /// Without the port, which changes with every connection.
    private static func hash(_ address: SocketAddress) -> UInt64 {
        address.withAddressBytes { raw in
            guard let base = raw.bindMemory(to: UInt8.self).baseAddress else { return 0 }
            return StableHash.hash(Bytes(base, raw.count))
        }
    }

    private static func cookie(_ name: Bytes, _ request: HeaderList) -> Bytes? {
        for index in 0..<request.count where request[index].id == .cookie {
            if let value = value(of: name, in: request[index].value, separator: UInt8(ascii: ";")) {
                return value
            }
        }
        return nil
    }

    private static func parameter(_ name: Bytes, _ path: Bytes) -> Bytes? {
        guard let mark = path.firstIndex(of: UInt8(ascii: "?")) else { return nil }
        var query = path[mark + 1..<path.count]
        if let hash = query.firstIndex(of: UInt8(ascii: "#")) { query = query[0..<hash] }
        return value(of: name, in: query, separator: UInt8(ascii: "&"))
    }

    /// The value behind `name=` in a list of pairs, without blanks in front.
    private static func value(of name: Bytes, in list: Bytes, separator: UInt8) -> Bytes? {
        var rest = list
        while !rest.isEmpty {
            let end = rest.firstIndex(of: separator) ?? rest.count
            var pair = rest[0..<end]
            rest = end < rest.count ? rest[end + 1..<rest.count] : .empty
            while !pair.isEmpty, pair[0] == UInt8(ascii: " ") { pair = pair[1..<pair.count] }
            guard let equals = pair.firstIndex(of: UInt8(ascii: "=")), pair[0..<equals].equals(name) else { continue }
            return pair[equals + 1..<pair.count]
        }
        return nil
    }
}

extension RequestHash.Cookie {
    /// Writes the value of `set-cookie` and lends it.
    func withText(_ number: UInt64, _ body: (Bytes) -> Void) {
        let length = name.count + 1 + 16 + attributes.count
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: length) { buffer in
            guard let base = buffer.baseAddress else { return }
            memcpy(base, name.base, name.count)
            base[name.count] = UInt8(ascii: "=")
            RequestNumber.withText(number) { text in
                memcpy(base + name.count + 1, text.base, min(16, text.count))
            }
            memcpy(base + name.count + 17, attributes.base, attributes.count)
            body(Bytes(base, length))
        }
    }

    fileprivate func free() {
        name.base.deallocate()
        attributes.base.deallocate()
    }
}

extension Upstream {
    /// The wish for an endpoint of a request of our own, which has no client.
    func wish(forCall request: HeaderList) -> EndpointPreference? {
        guard hashesRequests, let requestHash else { return nil }
        guard case .hash(let hash) = requestHash.answer(request, client: nil, givesCookies: false) else { return nil }
        return EndpointPreference(hash: hash)
    }
}
