import MoongateConfig

/// Users with the hashes of their passwords, and the methods that each may call.
final class UserList: SharedList {
    /// The form of the entries.
    enum Form: String, CaseIterable {
        /// `name: hash`, for HTTP's basic authentication: a name holds no colon (RFC 7617 §2).
        case basic
        /// `name: {password: hash, allow: [methods]}`
        case methods
        /// Either; a user without `allow` may call every method.
        case any
    }

    static let kind = SharedListKind.users

    /// Stands for the file's contents.
    let version: UInt64
    private let names: PackedTexts
    private let hashes: PackedTexts
    private let methods: [MethodSet]
    /// By user, a place in `methods`; `UInt32.max`: every method. Empty: that goes for all.
    private let allowed: [UInt32]

    /// - Throws: everything that is wrong with the file.
    init(_ bytes: [UInt8], path: String, form: Form) throws(DiagnosticList) {
        var builder = Builder(form: form)
        let root = try EntryFile.read(bytes, path: path) { builder.add($0) }
        guard root == .mapping, builder.allowed.count > 0 || builder.hasFaults else {
            throw DiagnosticList([
                Diagnostic(
                    location: SourceLocation(file: path, line: 0, column: 0),
                    message: "the file must hold users by name", hint: Builder.example(form))
            ])
        }
        try builder.faults.check()
        names = PackedTexts(builder.names)
        hashes = PackedTexts(builder.hashes)
        methods = builder.pool.sets
        allowed = methods.isEmpty ? [] : builder.allowed
        version = bytes.withUnsafeBufferPointer { bytes in
            StableHash.hash(bytes.baseAddress.map { Bytes($0, bytes.count) } ?? .empty)
        }
    }

    var count: Int { names.count }

    func index(of name: Bytes) -> Int? { names.index(of: name) }

    /// The hash as the file has it; as long as the list.
    func hashText(_ index: Int) -> Bytes { hashes[index] }

    /// It was checked when the file was read.
    func hash(_ index: Int) -> PasswordHash? { try? PasswordHash(hashes[index].string) }

    /// For a name that nobody has, always the same: a hash that costs as much to check as one of the list's, and that no
    /// password has.
    func decoy(for name: Bytes) -> PasswordHash? {
        hash(Int(StableHash.bucket(StableHash.hash(name), of: UInt64(count))))?.decoy
    }

    /// Whether the user may call the method.
    func allows(_ index: Int, _ path: Bytes) -> Bool {
        guard !allowed.isEmpty, allowed[index] != .max else { return true }
        return methods[Int(allowed[index])].contains(path)
    }
}

private struct Builder {
    let form: UserList.Form
    var names = PackedTexts.Builder()
    var hashes = PackedTexts.Builder()
    var allowed: [UInt32] = []
    var pool = MethodPool()
    var faults = SharedListFaults()
    var hasFaults = false

    init(form: UserList.Form) { self.form = form }

    static func example(_ form: UserList.Form) -> String {
        form == .methods ? "ada: {password: $2b$10$…, allow: [\"*\"]}" : "ada: $2b$10$…"
    }

    mutating func add(_ entry: EntryFile.Entry) {
        // The elements of a list: the file as a whole is refused.
        guard let name = entry.name else { return }
        do throws(UserFault) {
            try add(name, try user(name, entry.value))
        } catch {
            hasFaults = true
            faults.add(entry.location, "user \"\(name)\": \(error.message)")
        }
    }

    private struct UserFault: Error {
        var message: String
        init(_ message: String) { self.message = message }
    }

    private struct User {
        var hash: String
        /// `nil`: every method.
        var allow: [String]?
    }

    private mutating func add(_ name: String, _ user: User) throws(UserFault) {
        do throws(PasswordFault) {
            _ = try PasswordHash(user.hash)
        } catch {
            throw UserFault(error.description)
        }
        var place = UInt32.max
        if let allow = user.allow {
            do throws(MethodFault) {
                place = try pool.place(of: allow)
            } catch {
                throw UserFault("allow: pattern \((allow.firstIndex(of: error.pattern) ?? 0) + 1) \(error.problem)")
            }
        }
        guard names.append(name), hashes.append(user.hash) else { throw UserFault("the list is too large") }
        allowed.append(place)
    }

    private func user(_ name: String, _ value: SettingValue) throws(UserFault) -> User {
        switch (form, value) {
        case (.methods, .table(let entries)), (.any, .table(let entries)):
            return try user(value, keys: entries.map(\.key))
        case (.basic, .string(let hash)), (.any, .string(let hash)):
            if form == .basic && name.contains(":") { throw UserFault("a name holds no colon (RFC 7617)") }
            return User(hash: hash, allow: nil)
        case (.methods, _): throw UserFault("password and allow are missing")
        case (.basic, _): throw UserFault("the hash of the password is missing")
        case (.any, _): throw UserFault("the hash of the password, or password and allow, are missing")
        }
    }

    private func user(_ value: SettingValue, keys: [String]) throws(UserFault) -> User {
        if let key = keys.first(where: { $0 != "password" && $0 != "allow" }) {
            throw UserFault("unknown key \"\(key)\" (known: allow, password)")
        }
        guard case .string(let hash) = value["password"] else {
            throw UserFault("password is missing (`moongate hash-password` makes one)")
        }
        guard let allow = value["allow"]?.elements else {
            throw UserFault("allow is missing ([\"*\"] is every method)")
        }
        return User(
            hash: hash,
            allow: try allow.map { element throws(UserFault) in
                guard case .string(let pattern) = element else { throw UserFault("the methods in allow must be texts") }
                return pattern
            })
    }
}
