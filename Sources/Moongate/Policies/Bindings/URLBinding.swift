import CMoongate
import MoongateLua

/// `moon.url`.
enum URLBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "url.escape", "s", type: "(text: string): string",
                doc: "The text for a part of a URL: everything but letters, digits and `-._~` as `%XX` (RFC 3986).",
                escape),
            LuaBinding(
                "url.unescape", "s", type: "(text: string): string?",
                doc: "The text with `%XX` decoded; nil if a percent sign has no two digits behind it.", unescape),
            LuaBinding(
                "url.parse", "s", type: "(url: string): table?, string?",
                doc: """
                    The parts of a URL or of a path with query: `scheme`, `user`, `password`, `host`, `port`, `path`, \
                    `query`, `fragment`, as they stand there; nil and the reason if it is malformed.
                    """, parse),
            LuaBinding(
                "url.query", "v", type: "(query: string|table): table|string",
                doc: """
                    From a text such as `a=1&b=x%20y` a table of decoded values by name (a list for a name that comes several \
                    times), and from such a table the text. At most 1000 parameters are read.
                    """, query),
        ]
    }

    private static let escape: mg_leaf = { call in
        call.transform(size: { $0 * 3 }, piece: 1 << 16) { source, target, _ in
            PercentEncoding.escape(source, to: target)
        }
    }

    private static let unescape: mg_leaf = { call in
        call.transform(size: { $0 }, piece: 1 << 18, cut: beforeEscape) { source, target, _ in
            PercentEncoding.unescape(source, to: target)
        }
    }

    /// The end of a piece that cuts no `%XX` in two.
    private static func beforeEscape(_ piece: Bytes) -> Int {
        for length in 1...2 where piece.count > length && piece[piece.count - length] == UInt8(ascii: "%") {
            return piece.count - length
        }
        return piece.count
    }

    /// Longest URL or query that is taken apart.
    private static let longestURL = 1 << 20

    private static let parse: mg_leaf = { call in
        guard call.bytes(0).count <= longestURL else { return call.fail("moon.url.parse: longer than 1 MiB") }
        do throws(URLFault) {
            let url = try URLText(call.bytes(0))
            call.giveMark(MG_TABLE)
            let parts: [(StaticString, Bytes?)] = [
                ("scheme", url.scheme), ("user", url.user), ("password", url.password), ("host", url.host),
                ("path", url.path), ("query", url.query), ("fragment", url.fragment),
            ]
            for case (let name, let part?) in parts {
                call.give(Bytes(name))
                call.give(part)
            }
            if let port = url.port {
                call.give(Bytes("port"))
                call.give(port)
            }
            call.giveMark(MG_END)
            return MG_RETURN
        } catch {
            return call.refuse(error.message)
        }
    }

    // MARK: Queries

    private static let query: mg_leaf = { call in
        let value = TapeView(argument: 0, of: call)
        if let text = value.bytes { return readQuery(call, text) }
        guard value.isContainer else { return call.fail("moon.url.query: a text or a table is needed") }
        return writeQuery(call, value)
    }

    private static func readQuery(_ call: BindingCall, _ text: Bytes) -> mg_action {
        guard text.count <= longestURL else { return call.fail("moon.url.query: longer than 1 MiB") }
        guard let room = mg_call_scratch(call, max(1, text.count)) else { return call.fail("not enough memory") }
        var used = 0
        /// What cannot be decoded stays as it is, as browsers have it.
        func decoded(_ part: Bytes) -> Bytes {
            let target = room + used
            guard let count = PercentEncoding.unescape(part, to: target, isForm: true) else { return part }
            used += count
            return Bytes(UnsafePointer(target), count)
        }
        var names: [Bytes] = []
        var values: [[UInt8]: [Bytes]] = [:]
        for pair in text.buffer.split(separator: UInt8(ascii: "&"), maxSplits: 1000).prefix(1000) {
            guard let base = pair.withContiguousStorageIfAvailable({ $0.baseAddress }) ?? nil else { continue }
            let bytes = Bytes(base, pair.count)
            let equals = bytes.firstIndex(of: UInt8(ascii: "="))
            let name = decoded(bytes[0..<(equals ?? bytes.count)])
            let value = equals.map { decoded(bytes[$0 + 1..<bytes.count]) } ?? .empty
            if values[Array(name.buffer), default: []].isEmpty { names.append(name) }
            values[Array(name.buffer), default: []].append(value)
        }
        call.giveMark(MG_TABLE)
        for name in names {
            let all = values[Array(name.buffer)] ?? []
            call.give(name)
            if all.count != 1 { call.giveMark(MG_LIST) }
            for value in all { call.give(value) }
            if all.count != 1 { call.giveMark(MG_END) }
        }
        call.giveMark(MG_END)
        return MG_RETURN
    }

    private static func writeQuery(_ call: BindingCall, _ table: TapeView) -> mg_action {
        var pairs: [[UInt8]] = []
        for entry in table.entries {
            if call.limit.isExceeded { return call.leave() }
            guard let name = entry.key.bytes else { return call.fail(badQuery) }
            for value in entry.value.elements ?? [entry.value] {
                if call.limit.isExceeded { return call.leave() }
                guard let text = value.plainText else { return call.fail(badQuery) }
                pairs.append(escaped(name) + [UInt8(ascii: "=")] + text.withUnsafeBufferPointer(escaped))
            }
        }
        pairs.sort { $0.lexicographicallyPrecedes($1) }
        return call.give(copyOf: Array(pairs.joined(separator: [UInt8(ascii: "&")])))
    }

    private static let badQuery: CallMessage = "moon.url.query: values must be texts, numbers or lists of them by name"

    private static func escaped(_ buffer: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        buffer.baseAddress.map { escaped(Bytes($0, buffer.count)) } ?? []
    }

    private static func escaped(_ bytes: Bytes) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: bytes.count * 3) { buffer, count in
            count = buffer.baseAddress.map { PercentEncoding.escape(bytes, to: $0) } ?? 0
        }
    }
}
