import MoongateConfig

/// API keys, known by their SHA-256, and the methods that each may be used for.
final class KeyList: SharedList {
    struct Key {
        /// As long as the list.
        var name: Bytes
        /// `nil`: every method.
        var methods: MethodSet?
    }

    /// A SHA-256: any part of it is as good a hash as the whole.
    fileprivate struct Fingerprint: Hashable, Sendable {
        var words: SIMD4<UInt64>

        func hash(into hasher: inout Hasher) { hasher.combine(words[0]) }
    }

    static let kind = SharedListKind.keys

    private let names: PackedTexts
    private let fingerprints: [Fingerprint]
    private let methods: [MethodSet]
    /// By key, a place in `methods`; `UInt32.max`: every method. Empty: that goes for all.
    private let allowed: [UInt32]
    /// One more than a key's place, at its fingerprint or behind; 0: free. At most half of them are taken.
    private let slots: [UInt32]

    /// - Throws: everything that is wrong with the file.
    init(_ bytes: [UInt8], path: String) throws(DiagnosticList) {
        var builder = Builder()
        let root = try EntryFile.read(bytes, path: path) { builder.add($0) }
        guard root == .mapping || root == .nothing else {
            throw DiagnosticList([
                Diagnostic(
                    location: SourceLocation(file: path, line: 0, column: 0),
                    message: "the file must hold keys by name", hint: "build-bot: ba7816bf…, the SHA-256 of a key")
            ])
        }
        try builder.faults.check()
        names = PackedTexts(builder.names)
        fingerprints = builder.fingerprints
        methods = builder.pool.sets
        allowed = methods.isEmpty ? [] : builder.allowed
        slots = KeyList.slots(of: fingerprints)
    }

    var count: Int { names.count }

    /// The key that was presented; `nil`: nobody has it. A look-up by digest takes no longer for one that is almost right.
    func find(_ key: Bytes) -> Key? {
        guard let wanted = Fingerprint(hashing: key) else { return nil }
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: wanted.words[0]) & mask
        while slots[slot] != 0 {
            let index = Int(slots[slot]) - 1
            if fingerprints[index] == wanted { return self.key(index) }
            slot = (slot + 1) & mask
        }
        return nil
    }

    private func key(_ index: Int) -> Key {
        let place = allowed.isEmpty ? .max : allowed[index]
        return Key(name: names[index], methods: place == .max ? nil : methods[Int(place)])
    }

    private static func slots(of fingerprints: [Fingerprint]) -> [UInt32] {
        var size = 2
        while size < fingerprints.count * 2 { size *= 2 }
        var slots = [UInt32](repeating: 0, count: size)
        for (index, fingerprint) in fingerprints.enumerated() {
            var slot = Int(truncatingIfNeeded: fingerprint.words[0]) & (size - 1)
            while slots[slot] != 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = UInt32(index + 1)
        }
        return slots
    }
}

extension KeyList.Fingerprint {
    private static let size = 32

    /// `nil` if OpenSSL refuses.
    fileprivate init?(hashing key: Bytes) {
        var words = SIMD4<UInt64>()
        let isDone = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { digest in
            guard let base = digest.baseAddress, Digest.sha256.hash(key, to: base) == KeyList.Fingerprint.size else {
                return false
            }
            withUnsafeMutableBytes(of: &words) {
                $0.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(digest)[..<KeyList.Fingerprint.size]))
            }
            return true
        }
        guard isDone else { return nil }
        self.words = words
    }

    /// From hexadecimal digits; `nil`: there are not 64 of them.
    fileprivate init?(hex: String) {
        var words = SIMD4<UInt64>()
        let isHex = hex.withBytes { digits in
            guard digits.count == KeyList.Fingerprint.size * 2 else { return false }
            return withUnsafeMutableBytes(of: &words) { words in
                guard let base = words.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
                return Hex.decode(digits, to: base)
            }
        }
        guard isHex else { return nil }
        self.words = words
    }
}

private struct Builder {
    var names = PackedTexts.Builder()
    var fingerprints: [KeyList.Fingerprint] = []
    var allowed: [UInt32] = []
    var pool = MethodPool()
    var faults = SharedListFaults()
    /// Name and line of each key, by its fingerprint.
    private var first: [KeyList.Fingerprint: (name: String, line: Int)] = [:]

    private struct KeyFault: Error {
        var message: String
        var hint: String?
        init(_ message: String, hint: String? = nil) {
            self.message = message
            self.hint = hint
        }
    }

    mutating func add(_ entry: EntryFile.Entry) {
        // The elements of a list: the file as a whole is refused.
        guard let name = entry.name else { return }
        do throws(KeyFault) {
            try add(name, entry)
        } catch {
            faults.add(entry.location, "key \"\(name)\"\(error.message)", hint: error.hint)
        }
    }

    private mutating func add(_ name: String, _ entry: EntryFile.Entry) throws(KeyFault) {
        let (digest, allow) = try Builder.parts(entry.value)
        guard let fingerprint = KeyList.Fingerprint(hex: digest) else {
            throw KeyFault(": sha256 must be 64 hexadecimal digits (`printf %s KEY | sha256sum`)")
        }
        if let known = first[fingerprint] {
            throw KeyFault(" is the same as key \"\(known.name)\"", hint: "that one stands in line \(known.line)")
        }
        first[fingerprint] = (name, entry.location.line)
        var place = UInt32.max
        if let allow {
            do throws(MethodFault) {
                place = try pool.place(of: allow)
            } catch {
                throw KeyFault(": allow: pattern \((allow.firstIndex(of: error.pattern) ?? 0) + 1) \(error.problem)")
            }
        }
        guard names.append(name) else { throw KeyFault(": the list is too large") }
        fingerprints.append(fingerprint)
        allowed.append(place)
    }

    private static func parts(_ value: SettingValue) throws(KeyFault) -> (digest: String, allow: [String]?) {
        switch value {
        case .string(let digest): return (digest, nil)
        case .table(let entries):
            if let key = entries.first(where: { $0.key != "sha256" && $0.key != "allow" })?.key {
                throw KeyFault(": unknown key \"\(key)\" (known: allow, sha256)")
            }
            guard case .string(let digest) = value["sha256"] else { throw KeyFault(": sha256 is missing") }
            guard !SettingValue.isMissing(value["allow"]) else { return (digest, nil) }
            guard let elements = value["allow"]?.elements else { throw KeyFault(": allow must be a list") }
            return (
                digest,
                try elements.map { element throws(KeyFault) in
                    guard case .string(let pattern) = element else {
                        throw KeyFault(": the methods in allow must be texts")
                    }
                    return pattern
                }
            )
        default: throw KeyFault(": sha256 is missing")
        }
    }
}
