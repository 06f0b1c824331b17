import MoongateConfig
import MoongateLint

/// Whether a file that has been loaded guards anything: a hook with a misspelt name would never run, and nobody would notice.
///
/// Decided by what its main chunk has defined, so that hooks may come about in any way.
enum PolicyHookNames {
    struct Fault {
        /// In the source; 0: the file as a whole.
        var line: Int
        var message: String
        var hint: String?

        func diagnostic(in file: PolicyUnit.File) -> Diagnostic {
            let place = SourceLocation(file: file.path, line: line == 0 ? 0 : file.firstLine - 1 + line, column: 0)
            return Diagnostic(location: place, message: message, hint: hint)
        }
    }

    private static let hooks = PolicyAPI.hooks.map(\.name)

    /// - Parameters:
    ///   - functions: the names of the file's global functions.
    ///   - source: of the file, for the lines.
    ///   - hasTimers: its main chunk has begun some: such a file needs no hooks.
    static func faults(_ functions: [String], source: [UInt8], hasTimers: Bool) -> [Fault] {
        let places = PolicyLint.functionLines(source)
        let unknown = functions.filter { HookSpelling.looksLikeHook($0) && !hooks.contains($0) }.sorted()
        if !unknown.isEmpty {
            return unknown.map { name in
                Fault(
                    line: places.global[name] ?? 0, message: "there is no hook \(name)",
                    hint: HookSpelling.hint(for: name, hooks: hooks))
            }
        }
        guard !hasTimers, !functions.contains(where: hooks.contains) else { return [] }
        let message = "the file has no hooks, so nothing of it ever runs"
        if let local = hooks.first(where: { places.local[$0] != nil }) {
            return [
                Fault(
                    line: places.local[local] ?? 0, message: message,
                    hint: "\(local) is local: hooks are global functions, so leave out `local`")
            ]
        }
        let near = functions.filter { places.global[$0] != nil }.sorted().lazy.compactMap { name in
            HookSpelling.meant(by: name, hooks: hooks).map { (name, $0) }
        }.first
        return [
            Fault(
                line: near.flatMap { places.global[$0.0] } ?? 0, message: message,
                hint: near.map { "did you mean \"\($0.1)\" by \($0.0)?" }
                    ?? "the hooks are \(hooks.joined(separator: ", "))")
        ]
    }
}
