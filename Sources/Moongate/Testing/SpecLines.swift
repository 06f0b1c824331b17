import CMoongate
import MoongateLint
import MoongateLua

/// Which lines of policies run, over all specs.
final class SpecLines {
    /// By the name that messages call a file.
    private var hit: [String: Set<Int32>] = [:]
    /// The policies that were loaded: their path and source by that name.
    private var files: [String: (path: String, source: [UInt8])] = [:]

    /// Takes note of every line that runs in the VM.
    func watch(_ vm: LuaVM) {
        vm.setLineHook(
            { context, file, line in
                guard let context else { return }
                let lines = Unmanaged<SpecLines>.fromOpaque(context).takeUnretainedValue()
                lines.hit[String(cString: file), default: []].insert(line)
            }, context: Unmanaged.passUnretained(self).toOpaque())
    }

    func add(_ file: PolicyUnit.File) { files[file.chunkName] = (file.path, file.source) }

    /// By path, in its order. A statement has run if any of its lines has; it counts as its first line.
    var coverage: [SpecCoverage] {
        files.map { name, file in
            let hit = hit[name] ?? []
            var lines: Set<Int> = []
            var missed: Set<Int> = []
            for statement in PolicyLint.statements(file.source) {
                guard let first = statement.min() else { continue }
                lines.insert(first)
                if !statement.contains(where: { hit.contains(Int32(clamping: $0)) }) { missed.insert(first) }
            }
            return SpecCoverage(path: file.path, lines: lines.count, missed: missed.sorted())
        }.sorted { $0.path < $1.path }
    }
}
