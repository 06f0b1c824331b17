import CMoongate
import COpenSSL
import MoongateLua

/// `moon.crypto`, by OpenSSL. Results are bytes: `moon.hex.encode` prints them.
enum CryptoBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "crypto.sha256", "s", type: "(data: string): string", doc: "SHA-256: 32 bytes.",
                { CryptoBinding.hash($0, .sha256) }),
            LuaBinding(
                "crypto.sha384", "s", type: "(data: string): string", doc: "SHA-384: 48 bytes.",
                { CryptoBinding.hash($0, .sha384) }),
            LuaBinding(
                "crypto.sha512", "s", type: "(data: string): string", doc: "SHA-512: 64 bytes.",
                { CryptoBinding.hash($0, .sha512) }),
            LuaBinding(
                "crypto.sha1", "s", type: "(data: string): string",
                doc: "SHA-1: 20 bytes. For old formats only: it is broken.", { CryptoBinding.hash($0, .sha1) }),
            LuaBinding(
                "crypto.md5", "s", type: "(data: string): string",
                doc: "MD5: 16 bytes. For old formats only: it is broken.", { CryptoBinding.hash($0, .md5) }),
            LuaBinding(
                "crypto.hmac", "sss", type: "(algorithm: string, key: string, data: string): string",
                doc: "HMAC by `sha256`, `sha384`, `sha512`, `sha1` or `md5`.", hmac),
            LuaBinding(
                "crypto.equal", "ss", type: "(a: string, b: string): boolean",
                doc: "Compares in a time that does not depend on where the texts differ. The same as `moon.equal`.",
                equal),
            LuaBinding(
                "crypto.random", "i", type: "(count: integer): string",
                doc: "So many bytes (1 to 65536) that nobody can foresee.", random),
        ]
    }

    private static func hash(_ call: BindingCall, _ digest: Digest) -> mg_action {
        let data = call.bytes(0)
        guard data.count <= BindingCall.longestInput else { return call.fail("the text is longer than 16 MiB") }
        guard let target = mg_call_scratch(call, 64), let count = digest.hash(data, to: target, within: call.limit)
        else {
            return call.failOrLeave("this machine's OpenSSL has no \(digest)")
        }
        call.give(Bytes(UnsafePointer(target), count))
        return MG_RETURN
    }

    /// OpenSSL authenticates it in one piece: some 6 ms of work.
    private static let longestAuthenticated = 4 << 20

    private static let hmac: mg_leaf = { call in
        let name = call.bytes(0)
        guard let digest = Digest.allCases.first(where: { $0.rawValue.withBytes { $0.equals(name) } }) else {
            return call.fail("moon.crypto.hmac: the algorithms are sha256, sha384, sha512, sha1 and md5")
        }
        guard call.bytes(2).count <= longestAuthenticated, call.bytes(1).count <= 65536 else {
            return call.fail("moon.crypto.hmac: keys are bounded to 64 KiB, data to 4 MiB")
        }
        guard let target = mg_call_scratch(call, 64),
            let count = digest.mac(key: call.bytes(1), call.bytes(2), to: target)
        else { return call.fail("this machine's OpenSSL has no HMAC by \(digest)") }
        call.give(Bytes(UnsafePointer(target), count))
        return MG_RETURN
    }

    private static let equal: mg_leaf = { call in
        call.give(ConstantTime.equal(call.bytes(0), call.bytes(1)))
        return MG_RETURN
    }

    private static let random: mg_leaf = { call in
        let count = call.integer(0)
        guard (1...65536).contains(count) else { return call.fail("moon.crypto.random: 1 to 65536 bytes") }
        guard let target = mg_call_scratch(call, Int(count)), RAND_bytes(target, Int32(count)) == 1 else {
            return call.fail("the system has no random bytes")
        }
        call.give(Bytes(UnsafePointer(target), Int(count)))
        return MG_RETURN
    }
}
