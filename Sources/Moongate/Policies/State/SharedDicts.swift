/// The shared dicts of the process, by name.
///
/// A dict lives as long as some generation names it: one that a reload keeps keeps its contents, and one that no
/// policy names any more ends with the last generation that did. So does its memory.
final class SharedDicts: Sendable {
    private struct Reference {
        weak var dict: SharedDict?
    }

    private let clock: StateClock
    private let references = Locked<[String: Reference]>([:])

    init(clock: StateClock) { self.clock = clock }

    /// The living dict of this name, or a new one with these limits. The caller keeps it. `nil`: no memory.
    func dict(_ name: String, _ limits: SharedDict.Limits) -> SharedDict? {
        references.withLock { references in
            if let dict = references[name]?.dict { return dict }
            guard let dict = SharedDict(name, limits, clock: clock) else { return nil }
            references[name] = Reference(dict: dict)
            return dict
        }
    }

    /// Dicts in use, by name; forgets the others.
    func living() -> [SharedDict] {
        references.withLock { references in
            references = references.filter { $0.value.dict != nil }
            return references.values.compactMap(\.dict).sorted { $0.name < $1.name }
        }
    }
}
