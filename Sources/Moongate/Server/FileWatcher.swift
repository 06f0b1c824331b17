import CMoongate
import Glibc

/// Notices changes of a set of files, by inotify or, where that is not to be had, by looking.
///
/// Owned and used by the control thread, which waits for `file` or looks every `pollInterval`.
final class FileWatcher {
    /// How often `changed` must be asked when there is no inotify.
    static let pollInterval = Duration.seconds(2)

    /// Readable when `changed` should be asked; -1 when it must be asked every `pollInterval`.
    private(set) var file: Int32 = -1
    private var paths: [String] = []
    private var plan = WatchPlan(paths: [])
    private var watches: [Int32: Target] = [:]
    private var identities: [String: FileSnapshot.Identity] = [:]

    private enum Target {
        /// With the names that matter in it.
        case folder(Set<String>)
        case file
    }

    /// A file counts as written when its writer closes it, not before; `IN_ATTRIB`: it may have become readable.
    private static let events = UInt32(
        IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF
            | IN_MOVE_SELF)

    /// - Parameter polling: do without inotify.
    init(polling: Bool = false) {
        if !polling { file = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK)) }
    }

    deinit {
        if file >= 0 { close(file) }
    }

    /// Watches these files from now on, and no others.
    func watch(_ paths: [String]) {
        self.paths = paths
        plan = WatchPlan(paths: paths)
        if file >= 0 { install() }
        identities = FileWatcher.look(paths)
    }

    /// Has any watched file changed, come or gone since the last call? May say yes when only its time has changed.
    func changed() -> Bool {
        guard file >= 0 else {
            let now = FileWatcher.look(paths)
            defer { identities = now }
            return now != identities
        }
        let events = readEvents()
        guard events.matter else { return false }
        if events.structure {
            // A folder may have taken another's place, or a link another target.
            plan = WatchPlan(paths: paths)
            install()
        }
        return true
    }

    private static func look(_ paths: [String]) -> [String: FileSnapshot.Identity] {
        var identities: [String: FileSnapshot.Identity] = [:]
        for path in paths { identities[path] = FileSnapshot.Identity(path: path) }
        return identities
    }

    private func install() {
        var installed: [Int32: Target] = [:]
        for (folder, names) in plan.folders {
            let watch = inotify_add_watch(file, folder, FileWatcher.events | UInt32(IN_ONLYDIR))
            if watch >= 0 {
                // Two ways to one folder share its watch.
                if case .folder(let others) = installed[watch] {
                    installed[watch] = .folder(names.union(others))
                } else {
                    installed[watch] = .folder(names)
                }
            } else if errno == ENOSPC || errno == ENOMEM {
                return giveUp()
            }
        }
        for path in plan.files {
            let watch = inotify_add_watch(file, path, UInt32(IN_CLOSE_WRITE) | UInt32(IN_DONT_FOLLOW))
            if watch >= 0 { installed[watch] = .file }
        }
        for watch in watches.keys where installed[watch] == nil { inotify_rm_watch(file, watch) }
        watches = installed
    }

    /// The system's watches are spent: look from now on.
    private func giveUp() {
        close(file)
        file = -1
        watches = [:]
    }

    /// What the kernel reported since the last call.
    private func readEvents() -> (matter: Bool, structure: Bool) {
        var result = (matter: false, structure: false)
        let size = MemoryLayout<inotify_event>.size
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            while true {
                let count = read(file, buffer.baseAddress, buffer.count)
                guard count > 0 else { return }
                var offset = 0
                while offset + size <= count {
                    let event = buffer.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
                    let bytes = buffer[(offset + size)..<min(count, offset + size + Int(event.len))].prefix { $0 != 0 }
                    if matters(event, String(decoding: bytes, as: UTF8.self)) {
                        result.matter = true
                        if event.mask & UInt32(IN_CLOSE_WRITE | IN_ATTRIB) == 0 { result.structure = true }
                    }
                    offset += size + Int(event.len)
                }
            }
        }
        return result
    }

    private func matters(_ event: inotify_event, _ name: String) -> Bool {
        // Events were lost: anything may have happened.
        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return true }
        if event.mask & UInt32(IN_IGNORED) != 0 {
            watches[event.wd] = nil
            return false
        }
        switch watches[event.wd] {
        case nil: return false
        case .file: return true
        // Events on the folder itself carry no name.
        case .folder(let names): return name.isEmpty || names.contains(name)
        }
    }
}
