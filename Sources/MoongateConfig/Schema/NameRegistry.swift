/// The names that a file defines, and those it uses, which may stand before their definition.
struct NameRegistry {
    enum Kind: String {
        case listener
        case upstream
        case route
        /// An address to listen on; an address is only ever defined.
        case address = "the address"
    }

    private struct Key: Hashable {
        var kind: Kind
        var name: String
    }

    private struct Use {
        var key: Key
        var location: SourceLocation
    }

    private var definitions: [Key: SourceLocation] = [:]
    private var uses: [Use] = []

    /// Where the name is defined already, or `nil` if it is new.
    mutating func define(_ name: String, as kind: Kind, at location: SourceLocation) -> SourceLocation? {
        let key = Key(kind: kind, name: name)
        if let first = definitions[key] { return first }
        definitions[key] = location
        return nil
    }

    func isDefined(_ name: String, as kind: Kind) -> Bool { definitions[Key(kind: kind, name: name)] != nil }

    mutating func use(_ name: String, of kind: Kind, at location: SourceLocation) {
        uses.append(Use(key: Key(kind: kind, name: name), location: location))
    }

    func unresolved() -> [Diagnostic] {
        let missing = uses.filter { definitions[$0.key] == nil }
        guard !missing.isEmpty else { return [] }
        let known = Dictionary(grouping: definitions.keys, by: \.kind).mapValues { $0.map(\.name).sorted() }
        return missing.map { use in
            let names = known[use.key.kind] ?? []
            let list = names.prefix(8).joined(separator: ", ") + (names.count > 8 ? ", …" : "")
            let hint = Spelling.suggestion(for: use.key.name, among: names)
            return Diagnostic(
                location: use.location, message: "no \(use.key.kind.rawValue) is named \(quoted(use.key.name))",
                hint: hint ?? (names.isEmpty ? nil : "there is \(list)"))
        }
    }
}
