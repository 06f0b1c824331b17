import Glibc

/// Which folders must be watched, and for which names, to notice any change of a set of files.
///
/// Every folder on the way to a file counts, through all symbolic links: an editor renames a new file over the old
/// one, Kubernetes swaps the link `..data`, a folder is moved away and another takes its place. A file that does not
/// exist yet is awaited in the last folder that does.
struct WatchPlan: Equatable {
    /// Names of interest by folder.
    private(set) var folders: [String: Set<String>] = [:]
    /// Files that exist: a file mounted alone into a container is changed through another folder than its own.
    private(set) var files: Set<String> = []

    /// - Parameter paths: absolute, or relative to the working folder.
    init(paths: [String]) {
        for path in paths { add(path) }
    }

    private mutating func add(_ path: String) {
        let start = path.hasPrefix("/") ? "" : WatchPlan.workingFolder()
        var folder = "/"
        // The components still to walk, last one first.
        var rest = WatchPlan.components(start + "/" + path)
        // As many links as the kernel follows.
        var links = 40
        while let name = rest.popLast() {
            if name == ".." {
                folder = WatchPlan.parent(folder)
                continue
            }
            folders[folder, default: []].insert(name)
            let next = folder == "/" ? "/" + name : folder + "/" + name
            switch WatchPlan.kind(next) {
            case .missing: return
            case .link(let target):
                links -= 1
                guard links > 0 else { return }
                if target.hasPrefix("/") { folder = "/" }
                rest += WatchPlan.components(target)
            case .folder: folder = next
            case .other:
                if rest.isEmpty { files.insert(next) }
                return
            }
        }
    }

    private enum Kind {
        case missing
        case link(String)
        case folder
        case other
    }

    private static func kind(_ path: String) -> Kind {
        var status = stat()
        guard lstat(path, &status) == 0 else { return .missing }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return .folder
        case S_IFLNK:
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink(path, &buffer, buffer.count)
            guard count > 0 else { return .missing }
            return .link(String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
        default: return .other
        }
    }

    /// In reverse order, without empty ones and `.`.
    private static func components(_ path: String) -> [String] {
        path.split(separator: "/").filter { $0 != "." }.map(String.init).reversed()
    }

    private static func parent(_ folder: String) -> String {
        guard let slash = folder.lastIndex(of: "/"), slash != folder.startIndex else { return "/" }
        return String(folder[..<slash])
    }

    private static func workingFolder() -> String {
        guard let path = getcwd(nil, 0) else { return "" }
        defer { free(path) }
        return String(cString: path)
    }
}
