import Glibc

/// How much memory the process uses, and may use.
enum MemoryGauge {
    /// Resident bytes; 0 if the kernel does not say.
    static func resident() -> UInt64 {
        guard let content = try? FileReader.read("/proc/self/statm", limit: 4096) else { return 0 }
        let fields = String(decoding: content, as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let pages = UInt64(fields[1]) else { return 0 }
        return pages * UInt64(max(1, sysconf(Int32(_SC_PAGESIZE))))
    }

    /// The smallest memory limit of the control groups that the process is in, as containers set it; `nil`: none.
    static func groupLimit() -> UInt64? {
        guard let content = try? FileReader.read("/proc/self/cgroup", limit: 1 << 16) else { return nil }
        let files = limitFiles(String(decoding: content, as: UTF8.self))
        return files.compactMap { path in
            (try? FileReader.read(path, limit: 4096)).flatMap { limit(String(decoding: $0, as: UTF8.self)) }
        }.min()
    }

    /// Where the limits stand: those of the group and of the groups that it lies in (cgroups(7)). Within a container the
    /// path may be that of the host, and then the root is the container's own group.
    static func limitFiles(_ groups: String) -> [String] {
        groups.split(separator: "\n").flatMap { line -> [String] in
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { return [] }
            let root: String
            let name: String
            if fields[0] == "0" && fields[1].isEmpty {
                (root, name) = ("/sys/fs/cgroup", "memory.max")
            } else if fields[1].split(separator: ",").contains("memory") {
                (root, name) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            } else {
                return []
            }
            let parts = fields[2].split(separator: "/")
            return (0...parts.count).map { count in
                ([root] + parts.prefix(count).map(String.init) + [name]).joined(separator: "/")
            }
        }
    }

    /// `nil`: no limit, which the older interface writes as a very large number.
    static func limit(_ text: String) -> UInt64? {
        let line = text.prefix { $0 != "\n" }
        guard let value = UInt64(line), value < 1 << 60 else { return nil }
        return value
    }
}
