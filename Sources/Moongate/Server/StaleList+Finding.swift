extension StaleList {
    /// The lists of a program whose files are no longer what it was made of.
    /// - Parameter snapshot: the files as the refused reload saw them, as far as it came.
    static func all(of program: PolicyProgram, now snapshot: FileSnapshot) -> [StaleList] {
        var found: [StaleList] = []
        for key in program.lists.keys where key.kind.decidesWhoGetsIn {
            let list = StaleList(kind: key.kind, path: key.path)
            guard !found.contains(list), isStale(key.path, program, snapshot) else { continue }
            found.append(list)
        }
        return found.sorted { ($0.path, $0.kind.rawValue) < ($1.path, $1.kind.rawValue) }
    }

    private static func isStale(_ path: String, _ program: PolicyProgram, _ snapshot: FileSnapshot) -> Bool {
        guard let bytes = snapshot.entries[path]?.content?.bytes ?? (try? FileReader.read(path)) else { return true }
        return program.answers[path] != .contents(bytes, as: .policyData)
    }
}
