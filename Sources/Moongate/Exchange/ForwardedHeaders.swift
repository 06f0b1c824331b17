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

    /// The client that a request counts for. Trivial; the texts last as long as the request.
    struct Sender {
        /// The addresses of the connection's other end and of the client, without ports.
        let peer: Bytes
        let client: Bytes
        let isTLS: Bool
        /// The peer is believed about these headers.
        let isTrusted: Bool

        /// - Parameter client: as a trusted proxy names it.
        init(_ facts: ConnectionFacts, client: ClientAddress?, isTrusted: Bool) {
            peer = facts.peer.host
            self.client = client?.host ?? facts.peer.host
            isTLS = facts.isTLS
            self.isTrusted = isTrusted
        }
    }

    /// Writes them to the head of a request.
    ///
    /// - Parameter number: of the request, see `RequestNumber`.
    static func write(
        _ request: HeaderList, _ rules: UnsafePointer<EdgeHeaderRules>, _ sender: Sender,
        number: UInt64
    ) {
        rules.pointee.markSecrets(request)
        let present = look(request)
        writeFor(request, rules.pointee.forwarded, sender, present)
        writeProto(request, rules.pointee.forwarded, sender, present)
        writeHost(request, rules.pointee.forwarded, sender, present)
        writeForwarded(request, rules.pointee.forwarded, sender, present)
        writeRequestID(request, rules.pointee.requestID, number, present)
    }

    @inline(__always) private static func look(_ request: HeaderList) -> Present {
        var present: Present = []
        for index in 0..<request.count {
            switch request[index].id {
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
        _ request: HeaderList, _ rules: EdgeHeaderRules.Forwarded, _ sender: Sender,
        _ present: Present
    ) {
        let isPresent = present.contains(.for)
        switch rules.xForwardedFor {
        case .append:
            if isPresent { return join(request, .xForwardedFor, "x-forwarded-for", with: sender.peer) }
            request.add(.xForwardedFor, "x-forwarded-for", lasting: sender.peer)
        case .replace:
            if isPresent { return request.set(name: Bytes("x-forwarded-for"), value: sender.client) }
            request.add(.xForwardedFor, "x-forwarded-for", lasting: sender.client)
        case .off: if isPresent && !sender.isTrusted { request.remove(name: Bytes("x-forwarded-for")) }
        case .pass: break
        }
    }

    // MARK: The client

    /// The client as `x-forwarded-for` names it, of a peer that is trusted. `nil`: the header is missing or too short, or
    /// something else than an address stands there. Elements are counted from the end, where proxies append; what stands at the
    /// beginning is what the client likes.
    static func client(
        _ request: HeaderList, _ rules: UnsafePointer<EdgeHeaderRules>
    ) -> ClientAddress? {
        guard request.mayHold(.xForwardedFor) else { return nil }
        let hops = rules.pointee.forwarded.trustedHops
        guard let found = hops > 0 ? element(request, fromEnd: hops) : firstUntrusted(request, rules) else {
            return nil
        }
        let host = found.host.withBytes { request.hold($0) }
        let full = found.description.withBytes { request.hold($0) }
        return ClientAddress(forwarded: found, host: host, text: full)
    }

    /// As Envoy does with `xff_num_trusted_hops`.
    private static func element(_ request: HeaderList, fromEnd number: Int) -> SocketAddress? {
        var elements = BackwardElements(request)
        for _ in 1..<number where elements.next() == nil { return nil }
        return elements.next().flatMap(ClientAddress.parse)
    }

    /// The last element that is none of the trusted proxies; where all of them are trusted, the first.
    private static func firstUntrusted(
        _ request: HeaderList, _ rules: UnsafePointer<EdgeHeaderRules>
    ) -> SocketAddress? {
        var elements = BackwardElements(request)
        var last: SocketAddress?
        for _ in 0..<ForwardedConfig.mostHops {
            guard let text = elements.next() else { return last }
            guard let address = ClientAddress.parse(text) else { return nil }
            guard rules.pointee.trusts(address) else { return address }
            last = address
        }
        return nil
    }

    /// The elements of all fields `x-forwarded-for`, the last one first.
    private struct BackwardElements {
        private let request: HeaderList
        /// The field that `rest` belongs to.
        private var index: Int
        private var rest: Bytes?

        init(_ request: HeaderList) {
            self.request = request
            index = request.count
        }

        mutating func next() -> Bytes? {
            while rest == nil {
                guard index > 0 else { return nil }
                index -= 1
                if request[index].id == .xForwardedFor { rest = request[index].value }
            }
            guard let value = rest else { return nil }
            let comma = value.lastIndex(of: UInt8(ascii: ","))
            rest = comma.map { value[0..<$0] }
            return HeaderRules.trimmed(comma.map { value[$0 + 1..<value.count] } ?? value)
        }
    }

    // MARK: x-forwarded-proto, x-forwarded-host

    @inline(__always) private static func writeProto(
        _ request: HeaderList, _ rules: EdgeHeaderRules.Forwarded, _ sender: Sender,
        _ present: Present
    ) {
        let value = sender.isTLS ? Bytes("https") : Bytes("http")
        let name: StaticString = "x-forwarded-proto"
        write(request, rules.xForwardedProto, sender, .xForwardedProto, name, present.contains(.proto), value)
    }

    @inline(__always) private static func writeHost(
        _ request: HeaderList, _ rules: EdgeHeaderRules.Forwarded, _ sender: Sender,
        _ present: Present
    ) {
        let value = request.value(.authority) ?? .empty
        let name: StaticString = "x-forwarded-host"
        write(request, rules.xForwardedHost, sender, .xForwardedHost, name, present.contains(.host), value)
    }

    @inline(__always) private static func write(
        _ request: HeaderList, _ mode: ForwardedConfig.Mode, _ sender: Sender,
        _ id: FieldName, _ name: StaticString, _ isPresent: Bool, _ value: Bytes
    ) {
        guard isPresent else {
            if mode == .set { request.add(id, name, lasting: value) }
            return
        }
        guard !sender.isTrusted else { return }
        switch mode {
        case .set: request.set(name: Bytes(name), value: value)
        case .off: request.remove(name: Bytes(name))
        case .pass: break
        }
    }

    // MARK: forwarded

    @inline(__always) private static func writeForwarded(
        _ request: HeaderList, _ rules: EdgeHeaderRules.Forwarded, _ sender: Sender,
        _ present: Present
    ) {
        let isPresent = present.contains(.forwarded)
        switch rules.forwarded {
        case .set: addElement(request, sender, isPresent)
        case .off: if isPresent && !sender.isTrusted { request.remove(name: Bytes("forwarded")) }
        case .pass: break
        }
    }

    /// RFC 7239 §4.
    private static func addElement(
        _ request: HeaderList, _ sender: Sender, _ isPresent: Bool
    ) {
        let host = sender.peer.string
        // §6: an IPv6 address is not a token.
        let node = host.contains(":") ? "\"[\(host)]\"" : host
        var element = "for=\(node);proto=\(sender.isTLS ? "https" : "http")"
        if let authority = request.value(.authority), !authority.isEmpty {
            let text = authority.string.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            element += ";host=\"\(text)\""
        }
        element.withBytes { element in
            if isPresent && sender.isTrusted { return join(request, .forwarded, "forwarded", with: element) }
            request.set(name: Bytes("forwarded"), value: element)
        }
    }

    /// Makes one field of all that have the name, with an element behind them: many servers look at the first field only.
    private static func join(
        _ request: HeaderList, _ id: FieldName, _ name: StaticString, with last: Bytes
    ) {
        var size = last.count
        for index in 0..<request.count where request[index].id == id {
            size += request[index].value.count + 2
        }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: size) { buffer in
            var writer = TextWriter(buffer)
            for index in 0..<request.count where request[index].id == id {
                guard !request[index].value.isEmpty else { continue }
                writer.append(request[index].value)
                writer.append(Bytes(", "))
            }
            writer.append(last)
            request.set(name: Bytes(name), value: writer.bytes)
        }
    }

    // MARK: x-request-id

    @inline(__always) private static func writeRequestID(
        _ request: HeaderList, _ mode: RequestIDMode, _ number: UInt64, _ present: Present
    ) {
        let isPresent = present.contains(.requestID)
        guard mode == .replace || mode == .keep && !isPresent else { return }
        RequestNumber.withText(number) { id in
            if isPresent { return request.set(name: Bytes("x-request-id"), value: id) }
            let lasting = request.hold(id)
            request.add(.xRequestID, "x-request-id", lasting: lasting)
        }
    }
}
