import CMoongate
import MoongateConfig
import MoongateLua

/// `moon.users`, `moon.keys`, `moon.networks` and `moon.lines`: lists that stand in files. They are read once for a
/// generation, outside of Lua, and asked by all workers.
enum SharedListBinding {
    /// Bytes of a script's handle to a list; the list itself belongs to the program.
    private static let handleSize = 64

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "users", "=ss?", type: "(path: string, form?: string): Users",
                doc: """
                    The users of a file: by name either the hash of a password, or a map with `password`, the hash, and `allow`, \
                    a list of the methods that the user may call, as `moon.methods` takes them. `form` says that only one of the \
                    two will do: `basic` (hashes, by names without a colon) or `methods`. Only while a policy is loaded and in \
                    `on_init`.
                    """, constructs: PolicyClasses.users, UserListBinding.make),
            LuaBinding(
                "keys", "=s", type: "(path: string): Keys",
                doc: """
                    The API keys of a file: by name the SHA-256 of a key as 64 hexadecimal digits, or a map with `sha256` and \
                    `allow`, a list of the methods that the key may be used for. Only while a policy is loaded and in `on_init`.
                    """, constructs: PolicyClasses.keys, KeyListBinding.make),
            LuaBinding(
                "networks", "=v", type: "(networks: string|(string|table)[]): AddressSet",
                doc: """
                    A set of networks, from the path of a file that holds a list of them, or from a list. An entry is a network, an \
                    address, or a map with `cidr` and `except`. A file only while a policy is loaded and in `on_init`.
                    """, constructs: PolicyClasses.addressSet, networks),
            LuaBinding(
                "lines", "=s", type: "(path: string): Lines",
                doc: """
                    The texts of a file, to be asked whether one is among them: its lines, as `moon.file` gives them, or the list \
                    that a YAML or JSON file holds. Only while a policy is loaded and in `on_init`.
                    """, constructs: PolicyClasses.lines, LineListBinding.make),
        ]
    }

    /// Makes an object that refers to the list which `make` finds in the file of the first argument.
    static func construct<List: SharedList>(
        _ call: BindingCall, form: String = "", _ make: (_ bytes: [UInt8], _ path: String) throws -> List
    ) -> mg_action {
        guard let list = load(call, form: form, make) else { return MG_FAIL }
        hand(Unmanaged.passRetained(list).toOpaque(), to: call)
        return MG_RETURN
    }

    private static func hand(_ native: UnsafeMutableRawPointer, to call: BindingCall) {
        call.pointee.created = native
        call.pointee.created_size = handleSize
    }

    /// `nil`: the call has failed, and says why.
    private static func load<List: SharedList>(
        _ call: BindingCall, form: String, _ make: (_ bytes: [UInt8], _ path: String) throws -> List
    ) -> List? {
        guard let engine = call.engine, let files = engine.files else {
            _ = call.fail("moon.\(List.kind) is for loading and on_init: data files are part of a configuration")
            return nil
        }
        let name = call.bytes(0).string
        let key = SharedListKey(kind: List.kind, path: FileBinding.path(of: name, engine), form: form)
        do {
            return try call.withoutClock { try files.list(key) { try make($0, key.path) } }
        } catch let fault as PolicyFileFault {
            _ = call.fail(telling: "moon.\(List.kind.rawValue): argument 1: \(fault.message(hiding: key.path))")
        } catch {
            _ = call.fail(telling: "\(error)")
        }
        return nil
    }

    // MARK: Networks

    private static let networks: mg_leaf = { call in
        if call.pointee.arguments[0].kind == MG_STRING {
            let name = call.bytes(0).string
            guard (try? CIDR(name)) == nil else {
                return call.fail(
                    "moon.networks: argument 1 is a network: write a list of networks, or the path of a file")
            }
            guard let list = load(call, form: "", { try NetworkList($0, path: $1) }) else { return MG_FAIL }
            hand(Unmanaged.passRetained(AddressSetBinding.AddressSet(list.set)).toOpaque(), to: call)
            return MG_RETURN
        }
        guard let elements = call.value(0).flatMap({ SettingValue($0) })?.elements else {
            return call.fail("moon.networks: a list of networks or the path of a file is needed")
        }
        var builder = NetworkBuilder()
        do throws(CIDRFault) {
            for element in elements { try builder.add(element) }
        } catch {
            return call.fail("moon.networks: network \(builder.count + 1) \(error.problem)")
        }
        call.pointee.created = Unmanaged.passRetained(AddressSetBinding.AddressSet(builder.set)).toOpaque()
        call.pointee.created_size = elements.count * 64
        return MG_RETURN
    }
}

/// `moon.users(path)`: users with their passwords and the methods that they may call.
enum UserListBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.users, name: "users",
            summary: "The users of a file, made by `moon.users`. All workers share the list.",
            bindings: [
                LuaBinding(
                    "verify", "~ss", type: "(user: string, password: string): boolean?, string?",
                    doc: """
                        Whether this is the user's password; nil and `busy` when too many checks wait. The hook waits while \
                        the hash is computed on another thread; a right password is remembered for some time, and forgotten as \
                        soon as another version of the file is in force. In hooks only.
                        """, verify),
                LuaBinding(
                    "allows", "ss", type: "(user: string, path: string): boolean",
                    doc: """
                        Whether the user may call the method of a `:path`. A user with a hash alone may call every method, \
                        somebody who is not in the file none.
                        """, allows),
                LuaBinding("count", "", type: "(): integer", doc: "How many users there are.", count),
            ], release: { Unmanaged<UserList>.fromOpaque($0).release() })
    }

    static let make: mg_leaf = { call in
        let name = call.isAbsent(1) ? UserList.Form.any.rawValue : call.bytes(1).string
        guard let form = UserList.Form(rawValue: name) else {
            return call.fail("moon.users: the forms are \(known: UserList.Form.allCases.map(\.rawValue))")
        }
        return SharedListBinding.construct(call, form: form.rawValue) { try UserList($0, path: $1, form: form) }
    }

    private static let verify: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        let users = Unmanaged<UserList>.fromOpaque(native).takeUnretainedValue()
        let name = call.bytes(0)
        var version = users.version
        return withUnsafeBytes(of: &version) { scope in
            guard let base = scope.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return MG_RETURN }
            let scope = Bytes(base, scope.count)
            if let index = users.index(of: name), let hash = users.hash(index) {
                return PasswordsBinding.check(call, scope: scope, name, hash, users.hashText(index), isKnown: true)
            }
            // Strangers wait as long as users do.
            guard let decoy = users.decoy(for: name) else {
                call.give(false)
                return MG_RETURN
            }
            return decoy.text.withBytes {
                PasswordsBinding.check(call, scope: scope, name, decoy, $0, isKnown: false)
            }
        }
    }

    private static let allows: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        let users = Unmanaged<UserList>.fromOpaque(native).takeUnretainedValue()
        call.give(users.index(of: call.bytes(0)).map { users.allows($0, call.bytes(1)) } ?? false)
        return MG_RETURN
    }

    private static let count: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        call.give(Int64(Unmanaged<UserList>.fromOpaque(native).takeUnretainedValue().count))
        return MG_RETURN
    }
}

/// `moon.keys(path)`: API keys.
enum KeyListBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.keys, name: "keys",
            summary: "The API keys of a file, made by `moon.keys`. All workers share the list.",
            bindings: [
                LuaBinding(
                    "find", "ss?", type: "(key: string, path?: string): string?, boolean",
                    doc: """
                        The name of a key that a caller presents, and whether it may be used for the method of a `:path`; nil and \
                        false if nobody has the key. The time it takes does not tell how much of a key was right.
                        """, find),
                LuaBinding("count", "", type: "(): integer", doc: "How many keys there are.", count),
            ], release: { Unmanaged<KeyList>.fromOpaque($0).release() })
    }

    static let make: mg_leaf = { call in SharedListBinding.construct(call) { try KeyList($0, path: $1) } }

    private static let find: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        let keys = Unmanaged<KeyList>.fromOpaque(native).takeUnretainedValue()
        guard let key = keys.find(call.bytes(0)) else {
            call.giveNil()
            call.give(false)
            return MG_RETURN
        }
        call.give(key.name)
        call.give(call.isAbsent(1) || key.methods.map { $0.contains(call.bytes(1)) } ?? true)
        return MG_RETURN
    }

    private static let count: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        call.give(Int64(Unmanaged<KeyList>.fromOpaque(native).takeUnretainedValue().count))
        return MG_RETURN
    }
}

/// `moon.lines(path)`: texts.
enum LineListBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.lines, name: "lines",
            summary: "The texts of a file, made by `moon.lines`. All workers share the list.",
            bindings: [
                LuaBinding(
                    "contains", "s", type: "(text: string): boolean", doc: "Whether the text is one of them.", contains),
                LuaBinding("count", "", type: "(): integer", doc: "How many texts there are.", count),
            ], release: { Unmanaged<LineList>.fromOpaque($0).release() })
    }

    static let make: mg_leaf = { call in SharedListBinding.construct(call) { try LineList($0, path: $1) } }

    private static let contains: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        call.give(Unmanaged<LineList>.fromOpaque(native).takeUnretainedValue().contains(call.bytes(0)))
        return MG_RETURN
    }

    private static let count: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        call.give(Int64(Unmanaged<LineList>.fromOpaque(native).takeUnretainedValue().count))
        return MG_RETURN
    }
}
