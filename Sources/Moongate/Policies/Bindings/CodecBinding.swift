import CMoongate
import MoongateLua

/// `moon.base64`, `moon.base64url` and `moon.hex`.
enum CodecBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "base64.encode", "s", type: "(bytes: string): string", doc: "Base64 with padding (RFC 4648 §4).",
                { CodecBinding.encode($0, .standard) }),
            LuaBinding(
                "base64.decode", "s", type: "(text: string): string?",
                doc: "The bytes behind Base64; nil if it is malformed. Missing padding is accepted.",
                { CodecBinding.decode($0, .standard) }),
            LuaBinding(
                "base64url.encode", "s", type: "(bytes: string): string",
                doc: "Base64 for URLs, with `-` and `_` and without padding (RFC 4648 §5).",
                { CodecBinding.encode($0, .url) }),
            LuaBinding(
                "base64url.decode", "s", type: "(text: string): string?",
                doc: "The bytes behind Base64 for URLs, with or without padding; nil if it is malformed.",
                { CodecBinding.decode($0, .url) }),
            LuaBinding(
                "hex.encode", "s", type: "(bytes: string): string", doc: "Two hexadecimal digits for each byte.",
                hexEncode),
            LuaBinding(
                "hex.decode", "s", type: "(text: string): string?",
                doc: "The bytes behind hexadecimal digits of either case; nil if it is malformed.", hexDecode),
        ]
    }

    private static func encode(_ call: BindingCall, _ alphabet: Base64.Alphabet) -> mg_action {
        // Pieces of whole groups.
        call.transform(size: { Base64.encodedCount($0) }, piece: 3 << 16) { source, target, _ in
            Base64.encode(source, to: target, alphabet: alphabet)
        }
    }

    private static func decode(_ call: BindingCall, _ alphabet: Base64.Alphabet) -> mg_action {
        call.transform(size: { $0 }, piece: 4 << 16) { source, target, isLast in
            // Padding stands at the end only.
            if !isLast, source[source.count - 1] == UInt8(ascii: "=") { return nil }
            return Base64.decode(source, to: target, alphabet: alphabet)
        }
    }

    private static let hexEncode: mg_leaf = { call in
        call.transform(size: { $0 * 2 }, piece: 1 << 18) { source, target, _ in
            Hex.encode(source, to: target)
            return source.count * 2
        }
    }

    private static let hexDecode: mg_leaf = { call in
        call.transform(size: { $0 / 2 }, piece: 1 << 18) { source, target, _ in
            Hex.decode(source, to: target) ? source.count / 2 : nil
        }
    }
}

extension UnsafeMutablePointer where Pointee == mg_call {
    /// Longest text that functions which only walk through it take, piece by piece: some 30 ms of work.
    static var longestInput: Int { 16 << 20 }

    /// Gives what `work` writes for the first argument, or nil if it gives none. Leaves the script when its time is up.
    ///
    /// - Parameters:
    ///   - size: how much `work` may write for so many bytes.
    ///   - piece: how much it reads at once, at most.
    ///   - cut: where a piece ends that would be as long as it is given; the rest begins the next one.
    ///   - work: writes, and gives how much; told whether this is the last piece.
    func transform(
        size: (Int) -> Int, piece: Int, cut: (Bytes) -> Int = { $0.count },
        work: (Bytes, UnsafeMutablePointer<UInt8>, _ isLast: Bool) -> Int?
    ) -> mg_action {
        let source = bytes(0)
        guard source.count <= Self.longestInput else { return fail("the text is longer than 16 MiB") }
        guard let target = mg_call_scratch(self, max(1, size(source.count))) else {
            return fail("not enough memory")
        }
        var start = 0
        var written = 0
        repeat {
            if limit.isExceeded { return leave() }
            var part = source[start..<min(start + piece, source.count)]
            let isLast = start + part.count == source.count
            if !isLast { part = part[0..<cut(part)] }
            guard let count = work(part, target + written, isLast) else {
                giveNil()
                return MG_RETURN
            }
            start += part.count
            written += count
        } while start < source.count
        give(Bytes(UnsafePointer(target), written))
        return MG_RETURN
    }

    /// A copy of the bytes; at most one for each call.
    func give(copyOf bytes: [UInt8]) -> mg_action {
        guard let copy = mg_call_scratch(self, max(1, bytes.count)) else { return fail("not enough memory") }
        bytes.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { copy.update(from: base, count: source.count) }
        }
        give(Bytes(UnsafePointer(copy), bytes.count))
        return MG_RETURN
    }

    /// Gives nil and a reason, for what is wrong with data and no mistake of the script.
    func refuse(_ reason: String) -> mg_action {
        giveNil()
        give(copyOf: reason)
        return MG_RETURN
    }
}
