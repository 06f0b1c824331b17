import CMoongate
import Logging
import MoongateConfig
import MoongateLua

/// `require "moon"`: what policies need beside the handle.
enum MoonLibrary {
    static var definition: PolicyLibrary {
        PolicyLibrary(
            name: "moon", summary: "What policies need beside the handle: `local moon = require \"moon\"`.",
            bindings: bindings, nulls: JSONBinding.nulls)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "hash", "si?", type: "(text: string, seed?: integer): integer",
                doc: """
                    A number from 0 to 2^63 - 1, the same in every process, on every machine and in every release; \
                    another seed gives independent numbers.
                    """, hash),
            LuaBinding(
                "equal", "ss", type: "(a: string, b: string): boolean",
                doc: "Compares two texts in a time that does not depend on where they differ.", equal),
            LuaBinding(
                "random", "", type: "(): number",
                doc: "A number in [0, 1) that nobody can foresee.", random),
            LuaBinding(
                "cidr", "=v", type: "(networks: string|string[]): AddressSet",
                doc: "A set of networks such as `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.",
                constructs: PolicyClasses.addressSet, AddressSetBinding.make),
            LuaBinding(
                "passwords", "=t", type: "(hashes: table<string, string>): Passwords",
                doc: """
                    Users with their password hashes: bcrypt (`$2b$`, `$2y$`) or yescrypt (`$y$`), as `moongate \
                    hash-password` makes them.
                    """, constructs: PolicyClasses.passwords, PasswordsBinding.make),
            LuaBinding(
                "password.verify", "~ss", type: "(hash: string, password: string): boolean?, string?",
                doc: """
                    Whether the hash is of this password; nil and `busy` when too many checks wait. The hook waits \
                    meanwhile. In hooks only.
                    """, PasswordsBinding.verifyHash),
        ]
            + DictBinding.bindings + NetworkBinding.bindings + LimitBinding.bindings + MetricsBinding.bindings
            + SettingsBinding.bindings
            + FileBinding.bindings
            + SharedListBinding.bindings
            + MethodSetBinding.bindings
            + MoonLogBinding.bindings
            + JWTBinding.bindings
            + tools
            + TimeLibraryBinding.bindings
            + HTTPBinding.bindings + GRPCBinding.bindings + TimerBinding.bindings
    }

    /// Functions that work on their arguments alone, and so in any VM, without a host.
    static var tools: [LuaBinding] {
        JSONBinding.bindings
            + CodecBinding.bindings
            + URLBinding.bindings
            + CryptoBinding.bindings
            + [JWTBinding.signing]
    }

    /// The same whole number for the same text in every process and release, not negative.
    private static let hash: mg_leaf = { call in
        let seed = call.isAbsent(1) ? 0 : UInt64(bitPattern: call.integer(1))
        // Without the sign, so that `% n` and comparisons do what scripts expect.
        call.give(Int64(StableHash.hash(call.bytes(0), seed: seed) >> 1))
        return MG_RETURN
    }

    /// Takes the same time wherever the first difference is.
    private static let equal: mg_leaf = { call in
        call.give(ConstantTime.equal(call.bytes(0), call.bytes(1)))
        return MG_RETURN
    }

    /// A number in [0, 1) that nobody can foresee.
    private static let random: mg_leaf = { call in
        call.give(StableHash.fraction(UInt64.random(in: 0...UInt64.max)))
        return MG_RETURN
    }

    // MARK: For the VM

    static let print: mg_leaf = { call in
        call.engine?.log(.info, call.bytes(0), of: call.run)
        return MG_RETURN
    }

    /// `require "a.b"` finds `a/b.lua` or `a/b/init.lua` in the policy path, while policies are loaded.
    static let moduleSource: mg_leaf = { call in
        guard let engine = call.engine, let files = engine.files else { return MG_RETURN }
        // No path is as long.
        guard call.bytes(0).count <= 4096 else { return MG_RETURN }
        let name = call.bytes(0).string.split(separator: ".").joined(separator: "/")
        guard !name.isEmpty, !name.utf8.contains(0) else { return MG_RETURN }
        for folder in engine.unit.terms.modulePath {
            for candidate in ["\(name).lua", "\(name)/init.lua"] where files.exists("\(folder)/\(candidate)") {
                let source: [UInt8]
                do throws(PolicyFileFault) {
                    source = try files.read("\(folder)/\(candidate)", as: .policy)
                } catch {
                    return call.fail(telling: "require: \(error.message)")
                }
                let manager = LuaTextKeeper()
                _ = LuaValue.string(String(decoding: source, as: UTF8.self)).write(
                    to: call.pointee.output, keeping: manager)
                _ = LuaValue.string(candidate).write(to: call.pointee.output, keeping: manager)
                engine.manager = manager
                return MG_RETURN
            }
        }
        return MG_RETURN
    }
}
