extension StaleList {
    /// The lists of a program whose files are no longer what it was made of.
    /// - Parameter snapshot: the files as the refused reload saw them, as far as it came.
    static func all(of program: PolicyProgram, now snapshot: FileSnapshot) -> [StaleList] {
        var found: [StaleList] = []
        for unit in program.units {
            for key in unit.findings.lists.keys where key.kind.decidesWhoGetsIn {
                let list = StaleList(kind: key.kind, path: key.path)
                guard !found.contains(list), isStale(key.path, unit, snapshot) else { continue }
                found.append(list)
            }
        }
        return found.sorted { ($0.path, $0.kind.rawValue) < ($1.path, $1.kind.rawValue) }
    }

    private static func isStale(_ path: String, _ unit: PolicyUnit, _ snapshot: FileSnapshot) -> Bool {
        guard let bytes = snapshot.entries[path]?.content?.bytes ?? (try? FileReader.read(path)) else { return true }
        return unit.findings.answers[path] != .contents(bytes, as: .policyData)
    }
}
