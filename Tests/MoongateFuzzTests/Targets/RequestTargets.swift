import MoongateConfig

@testable import Moongate

/// What clients write into the heads of requests, and before them.
extension FuzzTarget {
    static let requestTexts = [authority, forwarded, proxyProtocol, cookies, adminRequest, requestPath]

    private static let authority = FuzzTarget("authority", longestInput: 512) { bytes in
        let split = Authority(splitting: bytes.view)
        try Violation.check(split.host.count + split.port.count <= bytes.count, "more than was there")
        guard let parsed = Authority(parsing: bytes.view) else { return }
        try Violation.check(
            parsed.host.equals(split.host) && parsed.port.equals(split.port), "two readings of one text")
        try Violation.check(!parsed.host.isEmpty, "a host that is empty")
        try Violation.check(
            !parsed.host.buffer.contains { "@/ \r\n\0\\".utf8.contains($0) }, "a host with what no host has")
        try Violation.check(parsed.port.isEmpty == (parsed.portNumber == nil), "a port that is none")
    }

    /// A request's head: modes, then names and values.
    private static let forwarded = FuzzTarget("forwarded", longestInput: 2048) { bytes in
        var input = FuzzInput(bytes)
        let modes = input.byte()
        var config = ForwardedConfig()
        config.trustedHops = Int(modes & 3)
        config.trusted = modes & 32 == 0 ? ["2001:db8::/32", "10.0.0.0/8"] : []
        config.xForwardedFor = modes & 4 == 0 ? .append : .replace
        config.forwarded = modes & 8 == 0 ? .set : .off
        let names: [StaticString] = [
            "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id", ":authority",
            "host", ":path", ":method", "x-other", "cookie", "x_forwarded_for", "x-real-ip",
        ]
        let list = HeaderList()
        defer { list.destroy() }
        while !input.isAtEnd {
            let name = names[Int(input.byte()) % names.count]
            input.text().withView { list.add(name, $0) }
        }
        var path = CanonicalPath()
        let isRefused = RequestCheck.normalize(list, &path, modes & 32 == 0 ? .strict : .lenient) != nil
        if !isRefused { try checkAuthority(list) }
        guard let address = SocketAddress(host: "2001:db8::1", port: 5000) else { return }
        let peer = ConnectionFacts(listener: .of("main"), listenerName: "main", peer: address, local: address)
        var rules = try EdgeHeaderRules(
            ListenerConfig(
                name: "main", address: SocketAddressConfig(host: "", port: 1), forwarded: config,
                requestID: modes & 16 == 0 ? .keep : .replace, neverIndex: ["x-other"]))
        defer { rules.free() }
        let before = list.encodedSize
        list.removesTwins = modes & 64 != 0
        let isTrusted = rules.trusts(peer.peer)
        let client = isTrusted ? ForwardedHeaders.client(list, &rules) : nil
        let sender = ForwardedHeaders.Sender(peer, client: client, isTrusted: isTrusted)
        ForwardedHeaders.write(list, &rules, sender, number: 4711)
        try Violation.check((0..<list.count).count { list[$0].id == .cookie } < 2, "cookies in two fields")
        try Violation.check(list.encodedSize <= before * 4 + 1024, "headers that grow beyond measure")
        for index in 0..<list.count where list[index].id == .forwarded {
            try Violation.check(
                modes & 8 != 0 || list[index].value.lastIndex(of: UInt8(ascii: "=")) != nil, "forwarded without a pair")
        }
    }

    private static func checkAuthority(_ list: HeaderList) throws {
        let hosts = (0..<list.count).filter { list[$0].id == .host }
        try Violation.check(hosts.isEmpty || list.value(.authority) != nil, "host is left alone")
        if let authority = list.value(.authority) {
            try Violation.check(authority.firstIndex(of: UInt8(ascii: "@")) == nil, "user information passed")
        }
    }

    /// Modes, then the path of a request, with its query.
    private static let requestPath = FuzzTarget("request-path", longestInput: 1024) { bytes in
        var input = FuzzInput(bytes)
        let modes = input.byte()
        let mode = modes & 1 == 0 ? PathMode.strict : .lenient
        let isGRPC = modes & 2 != 0
        let path = input.rest()
        let (outcome, text) = path.withView { canonicalize($0, mode, isGRPC) }
        if path.withView({ RequestPath.isPlain($0) }) {
            try Violation.check(outcome == .plain([]), "a plain path is \(outcome)")
        }
        if case .refused = outcome { return }
        try Violation.check(text.count <= path.count, "a path grows")
        let (again, same) = text.withView { canonicalize($0, mode, isGRPC) }
        guard case .plain = again, same == text else { throw Violation(description: "a canonical path is \(again)") }
        let query = path.firstIndex(of: UInt8(ascii: "?")).map { Array(path[$0...]) } ?? []
        try Violation.check(text.suffix(query.count).elementsEqual(query), "the query has changed")
        let plain = text.prefix { $0 != UInt8(ascii: "?") }
        let key = Array(plain).withView { PathKey.withKey($0) { Array($0.buffer) } }
        try Violation.check(key.count <= plain.count, "a key grows")
        try Violation.check(
            !key.split(separator: UInt8(ascii: "/")).contains { $0 == [0x2e] || $0 == [0x2e, 0x2e] }, "dots")
    }

    private static func canonicalize(
        _ path: Bytes, _ mode: PathMode, _ isGRPC: Bool
    ) -> (RequestPath.Outcome, [UInt8]) {
        // Exactly as much room as the path has.
        let target = UnsafeMutablePointer<UInt8>.allocate(capacity: path.count)
        defer { target.deallocate() }
        let outcome = RequestPath.canonicalize(path, mode, isGRPC: isGRPC, into: target)
        guard case .rewritten(let count, _) = outcome else { return (outcome, Array(path.buffer)) }
        return (outcome, Array(UnsafeBufferPointer(start: target, count: count)))
    }

    private static let proxyProtocol = FuzzTarget("proxy-protocol", longestInput: 1024) { bytes in
        let whole = ProxyProtocolHeader.read(bytes.view)
        if case .header(let header, let length) = whole {
            try Violation.check(length <= bytes.count && length <= ProxyProtocolHeader.longest, "longer than what came")
            try Violation.check((header.source == nil) == (header.destination == nil), "half a pair of addresses")
            // What is in front of the header's end never says otherwise: bytes may come one by one.
            for count in Set([0, 1, 5, 6, 11, 12, 15, 16, length - 1]) where count < length && count >= 0 {
                let part = ProxyProtocolHeader.read(bytes.view[0..<count])
                try Violation.check(part == .incomplete, "\(count) of \(length) bytes are \(part)")
            }
            try Violation.check(ProxyProtocolHeader.read(bytes.view[0..<length]) == whole, "it depends on what follows")
        }
    }

    /// Modes, then a request's path and its cookies: what consistent hashing looks at.
    private static let cookies = FuzzTarget("hash-policy", longestInput: 1024) { bytes in
        var input = FuzzInput(bytes)
        let modes = input.byte()
        let list = HeaderList()
        defer { list.destroy() }
        list.add(":method", "POST")
        input.text().withView { list.add(":path", $0) }
        while !input.isAtEnd { input.text().withView { list.add("cookie", $0) } }
        let wanted = HashCookie(name: "a", ttl: modes & 1 == 0 ? nil : .seconds(5))
        let hash = RequestHash([.cookie(wanted), .queryParameter("a"), .header("cookie"), .sourceAddress])
        guard let address = SocketAddress(host: "192.0.2.1", port: 1) else { return }
        let peer = PeerAddress(address)
        defer { peer.free() }
        let answer = hash.answer(list, client: ClientAddress(peer), givesCookies: modes & 2 == 0)
        try Violation.check(answer != .none, "a client has an address")
        try Violation.check(answer != .needsCookie || modes & 3 == 1, "a cookie that nobody asked for")
    }

    /// The head of a request to the admin listener (HTTP/1.1), and `/explain`'s query.
    private static let adminRequest = FuzzTarget("admin-request", longestInput: 2048) { bytes in
        let array = Array(bytes)
        guard case .request(let request, let length) = AdminRequest.parse(array) else { return }
        try Violation.check(length <= array.count, "a head longer than what came")
        try Violation.check(request.method == "GET" || request.method == "HEAD", "a method that is not taken")
        if let host = request.host, AdminHosts().verdict(host) == .accepted {
            try Violation.check(!host.contains { $0.isWhitespace || $0 == "@" || $0 == "/" }, "a host that is none")
        }
        guard let explained = ExplainedRequest(query: request.query) else { return }
        let again = ExplainedRequest(query: explained.query)
        try Violation.check(again == explained, "\(explained.query) is read as another request")
        _ = explained.withHead { $0.count }
    }
}
