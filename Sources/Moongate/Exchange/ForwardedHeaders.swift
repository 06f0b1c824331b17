import MoongateConfig

/// The headers by which the edge tells upstreams where a request came from (R12).
enum ForwardedHeaders {
    /// Which of them a request has.
    private struct Present: OptionSet {
        let rawValue: UInt8
        static let `for` = Present(rawValue: 1)
        static let proto = Present(rawValue: 2)
        static let host = Present(rawValue: 4)
        static let forwarded = Present(rawValue: 8)
        static let requestID = Present(rawValue: 16)
    }

    /// Writes them to the head of a request.
    ///
    /// - Parameters:
    ///   - peer: the request's connection, which the request does not outlive.
    ///   - number: of the request, see `RequestNumber`.
    /// - Returns: the client, where a trusted proxy names it.
    static func write(
        _ request: UnsafeMutablePointer<HeaderList>, _ rules: UnsafePointer<EdgeHeaderRules>, peer: ConnectionFacts,
        number: UInt64
    ) -> ForwardedClient? {
        rules.pointee.markSecrets(request)
        let present = look(request)
        let hops = rules.pointee.forwarded.trustedHops
        let client = hops > 0 && present.contains(.for) ? client(request, hops: hops) : nil
        writeFor(request, rules.pointee.forwarded, peer, client, present)
        writeProto(request, rules.pointee.forwarded, peer, present)
        writeHost(request, rules.pointee.forwarded, present)
        writeForwarded(request, rules.pointee.forwarded, peer, present)
        writeRequestID(request, rules.pointee.requestID, number, present)
        return client
    }

    @inline(__always) private static func look(_ request: UnsafeMutablePointer<HeaderList>) -> Present {
        var present: Present = []
        for index in 0..<request.pointee.count {
            switch request.pointee[index].id {
            case .xForwardedFor: present.insert(.for)
            case .xForwardedProto: present.insert(.proto)
            case .xForwardedHost: present.insert(.host)
            case .forwarded: present.insert(.forwarded)
            case .xRequestID: present.insert(.requestID)
            default: break
            }
        }
        return present
    }

    // MARK: x-forwarded-for

    @inline(__always) private static func writeFor(
        _ request: UnsafeMutablePointer<HeaderList>, _ rules: ForwardedConfig, _ peer: ConnectionFacts,
        _ client: ForwardedClient?, _ present: Present
    ) {
        let isPresent = present.contains(.for)
        switch rules.xForwardedFor {
        case .append:
            if isPresent { return join(request, .xForwardedFor, "x-forwarded-for", with: peer.remoteHostBytes) }
            request.pointee.add(.xForwardedFor, "x-forwarded-for", lasting: peer.remoteHostBytes)
        case .replace:
            let host = client?.host ?? peer.remoteHostBytes
            if isPresent { return request.pointee.set(name: Bytes("x-forwarded-for"), value: host) }
            request.pointee.add(.xForwardedFor, "x-forwarded-for", lasting: host)
        case .off: if isPresent && rules.trustedHops == 0 { request.pointee.remove(name: Bytes("x-forwarded-for")) }
        case .pass: break
        }
    }

    /// The client's address, so many places from the end; `nil` if there are not as many or if it is none. As Envoy
    /// does with `xff_num_trusted_hops`.
    private static func client(_ request: UnsafeMutablePointer<HeaderList>, hops: Int) -> ForwardedClient? {
        guard let text = element(request, fromEnd: hops), let address = ForwardedClient.parse(text) else { return nil }
        let host = address.host.withBytes { request.pointee.hold($0) }
        let full = address.description.withBytes { request.pointee.hold($0) }
        return ForwardedClient(address: address, host: host, text: full)
    }

    private static func element(_ request: UnsafeMutablePointer<HeaderList>, fromEnd number: Int) -> Bytes? {
        var left = number
        var index = request.pointee.count
        while index > 0 {
            index -= 1
            guard request.pointee[index].id == .xForwardedFor else { continue }
            var value = request.pointee[index].value
            while true {
                let comma = value.lastIndex(of: UInt8(ascii: ","))
                let item = HeaderRules.trimmed(comma.map { value[$0 + 1..<value.count] } ?? value)
                left -= 1
                if left == 0 { return item }
                guard let comma else { break }
                value = value[0..<comma]
            }
        }
        return nil
    }

    // MARK: x-forwarded-proto, x-forwarded-host

    @inline(__always) private static func writeProto(
        _ request: UnsafeMutablePointer<HeaderList>, _ rules: ForwardedConfig, _ peer: ConnectionFacts,
        _ present: Present
    ) {
        let value = peer.isTLS ? Bytes("https") : Bytes("http")
        let name: StaticString = "x-forwarded-proto"
        write(request, rules.xForwardedProto, rules, .xForwardedProto, name, present.contains(.proto), value)
    }

    @inline(__always) private static func writeHost(
        _ request: UnsafeMutablePointer<HeaderList>, _ rules: ForwardedConfig, _ present: Present
    ) {
        let value = request.pointee.value(.authority) ?? .empty
        let name: StaticString = "x-forwarded-host"
        write(request, rules.xForwardedHost, rules, .xForwardedHost, name, present.contains(.host), value)
    }

    @inline(__always) private static func write(
        _ request: UnsafeMutablePointer<HeaderList>, _ mode: ForwardedConfig.Mode, _ rules: ForwardedConfig,
        _ id: FieldName, _ name: StaticString, _ isPresent: Bool, _ value: Bytes
    ) {
        guard isPresent else {
            if mode == .set { request.pointee.add(id, name, lasting: value) }
            return
        }
        guard rules.trustedHops == 0 else { return }
        switch mode {
        case .set: request.pointee.set(name: Bytes(name), value: value)
        case .off: request.pointee.remove(name: Bytes(name))
        case .pass: break
        }
    }

    // MARK: forwarded

    @inline(__always) private static func writeForwarded(
        _ request: UnsafeMutablePointer<HeaderList>, _ rules: ForwardedConfig, _ peer: ConnectionFacts,
        _ present: Present
    ) {
        let isPresent = present.contains(.forwarded)
        switch rules.forwarded {
        case .set: addElement(request, rules, peer, isPresent)
        case .off: if isPresent && rules.trustedHops == 0 { request.pointee.remove(name: Bytes("forwarded")) }
        case .pass: break
        }
    }

    /// RFC 7239 §4.
    private static func addElement(
        _ request: UnsafeMutablePointer<HeaderList>, _ rules: ForwardedConfig, _ peer: ConnectionFacts,
        _ isPresent: Bool
    ) {
        let host = peer.remoteHostBytes.string
        // §6: an IPv6 address is not a token.
        let node = host.contains(":") ? "\"[\(host)]\"" : host
        var element = "for=\(node);proto=\(peer.isTLS ? "https" : "http")"
        if let authority = request.pointee.value(.authority), !authority.isEmpty {
            let text = authority.string.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            element += ";host=\"\(text)\""
        }
        element.withBytes { element in
            if isPresent && rules.trustedHops > 0 { return join(request, .forwarded, "forwarded", with: element) }
            request.pointee.set(name: Bytes("forwarded"), value: element)
        }
    }

    /// Makes one field of all that have the name, with an element behind them: many servers look at the first field only.
    private static func join(
        _ request: UnsafeMutablePointer<HeaderList>, _ id: FieldName, _ name: StaticString, with last: Bytes
    ) {
        var size = last.count
        for index in 0..<request.pointee.count where request.pointee[index].id == id {
            size += request.pointee[index].value.count + 2
        }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: size) { buffer in
            var writer = TextWriter(buffer)
            for index in 0..<request.pointee.count where request.pointee[index].id == id {
                guard !request.pointee[index].value.isEmpty else { continue }
                writer.append(request.pointee[index].value)
                writer.append(Bytes(", "))
            }
            writer.append(last)
            request.pointee.set(name: Bytes(name), value: writer.bytes)
        }
    }

    // MARK: x-request-id

    @inline(__always) private static func writeRequestID(
        _ request: UnsafeMutablePointer<HeaderList>, _ mode: RequestIDMode, _ number: UInt64, _ present: Present
    ) {
        let isPresent = present.contains(.requestID)
        guard mode == .replace || mode == .keep && !isPresent else { return }
        RequestNumber.withText(number) { id in
            if isPresent { return request.pointee.set(name: Bytes("x-request-id"), value: id) }
            let lasting = request.pointee.hold(id)
            request.pointee.add(.xRequestID, "x-request-id", lasting: lasting)
        }
    }
}
