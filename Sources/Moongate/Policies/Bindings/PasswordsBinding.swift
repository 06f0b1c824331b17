import CMoongate
import MoongateLua

/// `moon.passwords{user = hash, …}`: hashed passwords, asked with `passwords:verify(user, password)`.
///
/// A check takes some 60 ms, so it runs on other threads while the hook waits; what was found right is remembered.
/// Unknown users cost the same as wrong passwords.
enum PasswordsBinding {
    private final class Passwords {
        let names: NameIndex
        let hashes: [PasswordHash]
        /// The hashes' texts.
        let texts: [Bytes]

        init(_ users: [(name: String, hash: PasswordHash)]) {
            names = NameIndex(users.map(\.name))
            hashes = users.map(\.hash)
            texts = hashes.map { Bytes.allocated($0.text) }
        }

        deinit { for text in texts { text.base.deallocate() } }
    }

    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.passwords, name: "passwords",
            summary: "A table of users and password hashes, made by `moon.passwords`.", bindings: bindings,
            release: release)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "verify", "~ss", type: "(user: string, password: string): boolean?, string?",
                doc: """
                    Whether this is the user's password; nil and `busy` when too many checks wait. The hook waits while \
                    the hash is computed on another thread; a right password is remembered for some time. Client addresses \
                    (of IPv6: networks of 64 bits) take turns, and when too many checks wait, the one with most of them \
                    loses its newest. In hooks only.
                    """, verify)
        ]
    }

    static let make: mg_leaf = { call in
        guard case .table(let entries) = call.value(0) else {
            return call.fail("moon.passwords: a table of hashes by user is needed")
        }
        var users: [(name: String, hash: PasswordHash)] = []
        for entry in entries {
            guard case .string(let name) = entry.key, case .string(let text) = entry.value else {
                return call.fail("moon.passwords: users and hashes must be texts")
            }
            do throws(PasswordFault) {
                users.append((name, try PasswordHash(text)))
            } catch {
                return call.fail("user \(user: name): \(error.message)")
            }
        }
        call.pointee.created = Unmanaged.passRetained(Passwords(users)).toOpaque()
        // Name, hash and its text, and a place in the table.
        call.pointee.created_size = users.reduce(0) { $0 + $1.name.utf8.count + 320 }
        return MG_RETURN
    }

    static let release: @convention(c) (UnsafeMutableRawPointer) -> Void = {
        Unmanaged<Passwords>.fromOpaque($0).release()
    }

    /// True or false; nil and "busy" when too many checks are waiting.
    private static let verify: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        let passwords = Unmanaged<Passwords>.fromOpaque(native).takeUnretainedValue()
        let user = call.bytes(0)
        let place = passwords.names.index(of: user)
        if place >= 0 {
            return check(call, user, passwords.hashes[place], passwords.texts[place], isKnown: true)
        }
        guard let decoy = PasswordHash.decoy(for: user, among: passwords.hashes) else {
            call.give(false)
            return MG_RETURN
        }
        return decoy.text.withBytes { check(call, user, decoy, $0, isKnown: false) }
    }

    /// `moon.password.verify(hash, password)`: one hash, without a list of users.
    static let verifyHash: mg_leaf = { call in
        do throws(PasswordFault) {
            let text = call.bytes(0)
            return check(call, .empty, try PasswordHash(text.string), text, isKnown: true)
        } catch {
            return call.fail("moon.password.verify: argument 1: \(error.message)")
        }
    }

    /// - Parameter scope: what an answer is remembered for; `nil`: all data files of the policy, as they are.
    static func check(
        _ call: BindingCall, scope: Bytes? = nil, _ user: Bytes, _ hash: PasswordHash, _ text: Bytes, isKnown: Bool
    ) -> mg_action {
        guard let engine = call.engine, let host = engine.host, let run = call.run,
            let credentials = engine.credentials
        else {
            return call.fail("passwords cannot be checked here")
        }
        let password = call.bytes(1)
        let scope = scope ?? engine.dataVersionBytes
        let isRemembered = credentials.isVerified(
            scope: scope, user: user, password: password, hash: text, now: Clock.now())
        if isKnown && isRemembered {
            call.give(true)
            return MG_RETURN
        }
        if let refusal = call.waitRefusal { return call.fail(refusal) }
        let answer = host.completion(of: run)
        let client = run.subject.client.map { ClientShare($0.socket) } ?? .process
        let isQueued = credentials.verify(scope: scope, user: user, password: password, hash: hash, client: client) {
            answer($0.map { [.bool($0 && isKnown)] } ?? [.null, .string("busy")])
        }
        guard !isQueued else { return MG_WAIT }
        call.giveNil()
        call.give(Bytes("busy"))
        return MG_RETURN
    }
}
