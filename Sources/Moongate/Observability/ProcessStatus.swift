import Glibc

/// What the kernel says about this process, read afresh from `/proc`. Unreadable values are 0.
struct ProcessStatus {
    /// User and system time of all threads, in seconds.
    var cpuSeconds: Double
    var residentBytes: UInt64
    var virtualBytes: UInt64
    var threads: UInt64
    var openFiles: UInt64
    /// The soft limit.
    var maxOpenFiles: UInt64

    static func read() -> ProcessStatus {
        let fields = statFields()
        let ticks = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        let page = UInt64(max(1, sysconf(Int32(_SC_PAGESIZE))))
        return ProcessStatus(
            cpuSeconds: (Double(field(fields, 14)) + Double(field(fields, 15))) / ticks,
            residentBytes: field(fields, 24) * page,
            virtualBytes: field(fields, 23),
            threads: field(fields, 20),
            openFiles: countOpenFiles(),
            maxOpenFiles: FileLimit.soft())
    }

    /// Seconds since the epoch, to a hundredth; 0 if the kernel does not say.
    static func startTime() -> Double {
        guard let content = try? FileReader.read("/proc/stat") else { return 0 }
        let line = content.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: Array("btime ".utf8)) }
        guard let line, let boot = Double(String(decoding: line.dropFirst(6), as: UTF8.self)) else { return 0 }
        return boot + Double(field(statFields(), 22)) / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
    }

    /// The fields of `/proc/self/stat` from the third on: the second, the name, may itself contain spaces.
    private static func statFields() -> [Substring] {
        guard let content = try? FileReader.read("/proc/self/stat"),
            let end = content.lastIndex(of: UInt8(ascii: ")"))
        else { return [] }
        return String(decoding: content[(end + 1)...], as: UTF8.self).split(separator: " ")
    }

    /// By the number that proc(5) gives the field.
    private static func field(_ fields: [Substring], _ number: Int) -> UInt64 {
        let index = number - 3
        return fields.indices.contains(index) ? UInt64(fields[index]) ?? 0 : 0
    }

    private static func countOpenFiles() -> UInt64 {
        guard let folder = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(folder) }
        var count: UInt64 = 0
        while readdir(folder) != nil { count += 1 }
        // ".", ".." and the folder that is being read.
        return count - min(count, 3)
    }
}
