import Glibc

/// The files that one generation was made of, as they were when it was made.
struct FileSnapshot: Sendable {
    /// What tells one state of a file from the next without reading it.
    struct Identity: Sendable, Equatable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        /// Nanoseconds since 1970.
        var modified: Int64
        /// The same for owner, mode and links; also moves when `modified` was set back.
        var changed: Int64
        /// Who may do what, as `st_mode` has it.
        var mode: mode_t

        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            modified = Identity.nanoseconds(status.st_mtim)
            changed = Identity.nanoseconds(status.st_ctim)
            mode = status.st_mode
        }

        /// `nil`: nothing there, or nothing that may be seen. Symbolic links are followed.
        init?(path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            self.init(status)
        }

        private static func nanoseconds(_ time: timespec) -> Int64 {
            Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
        }
    }

    struct Content: Sendable, Equatable {
        var bytes: [UInt8]
        /// FNV-1a over the bytes; tells versions apart, protects nothing.
        var hash: UInt64

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
            hash = bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        }
    }

    /// One path that was asked for.
    struct Entry: Sendable {
        /// `nil`: there was no such file.
        var identity: Identity?
        /// `nil`: only its presence was asked for, or it was not read.
        var content: Content?
        /// The uses that it was read for; empty if only its presence was asked.
        var uses: Set<FileUse> = []
        /// The file changed so shortly before it was read that its time may not tell the next change.
        var mayHideChange: Bool
    }

    fileprivate(set) var entries: [String: Entry] = [:]

    /// Every path that was asked for, present or not, in order.
    var paths: [String] { entries.keys.sorted() }

    /// Takes over the other's entries; where both know a path, the other's is the newer one.
    mutating func merge(_ other: FileSnapshot) { entries.merge(other.entries) { $1 } }

    /// Paths whose files are no longer what they were.
    func changedPaths() -> [String] {
        entries.filter { path, entry in
            guard entry.identity == Identity(path: path) else { return true }
            guard entry.mayHideChange, let content = entry.content else { return false }
            return (try? FileReader.read(path)) != content.bytes
        }.keys.sorted()
    }

    /// Do the same paths hold the same bytes? Times and inodes do not matter.
    func hasSameContent(as other: FileSnapshot) -> Bool {
        guard entries.count == other.entries.count else { return false }
        return entries.allSatisfy { path, entry in
            guard let twin = other.entries[path] else { return false }
            return entry.content == twin.content && (entry.identity == nil) == (twin.identity == nil)
        }
    }
}

/// Reads the files of a generation while it is being made, and remembers what it saw.
///
/// The list of files is only known at the end: the configuration names policies, policies name data files. Each
/// path is read once; asking again gives the same bytes.
final class FileSnapshotReader {
    private(set) var snapshot = FileSnapshot()

    /// The whole file.
    ///
    /// - Parameter use: part of the snapshot, as the contents are.
    /// - Throws: why it is not read, such as that everybody may write it; the path is remembered all the same, so that the watcher
    ///   sees it appear or mended.
    func read(_ path: String, as use: FileUse) throws(FileFault) -> [UInt8] {
        if let content = snapshot.entries[path]?.content {
            snapshot.entries[path]?.uses.insert(use)
            return content.bytes
        }
        let uses = (snapshot.entries[path]?.uses ?? []).union([use])
        snapshot.entries[path] = FileSnapshot.Entry(
            identity: FileSnapshot.Identity(path: path), content: nil, uses: uses, mayHideChange: false)
        // Without O_NONBLOCK, opening a named pipe would wait for a writer.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw .system(SystemError("open \(path)")) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw .system(SystemError("stat \(path)")) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .noRegularFile(path: path) }
        guard status.st_mode & S_IWOTH == 0 else { throw .everybodyMayWrite(path: path, use: use) }
        guard status.st_size <= FileFault.limit else { throw .tooLarge(path: path) }
        let identity = FileSnapshot.Identity(status)
        let bytes = try FileSnapshotReader.contents(of: file, path)
        snapshot.entries[path] = FileSnapshot.Entry(
            identity: identity, content: FileSnapshot.Content(bytes), uses: uses,
            mayHideChange: FileSnapshotReader.isRecent(identity))
        return bytes
    }

    private static func contents(of file: Int32, _ path: String) throws(FileFault) -> [UInt8] {
        do throws(SystemError) {
            return try FileReader.read(file, path: path, limit: FileFault.limit)
        } catch {
            // It has grown since its size was asked for.
            throw error.code == EFBIG ? .tooLarge(path: path) : .system(error)
        }
    }

    /// Is there a file, a folder or anything else? The answer becomes part of the snapshot.
    func exists(_ path: String) -> Bool {
        if let entry = snapshot.entries[path] { return entry.identity != nil }
        let identity = FileSnapshot.Identity(path: path)
        snapshot.entries[path] = FileSnapshot.Entry(identity: identity, content: nil, mayHideChange: false)
        return identity != nil
    }

    /// File times move in steps of some milliseconds: within one, a second change of equal size leaves no trace.
    private static func isRecent(_ identity: FileSnapshot.Identity) -> Bool {
        CalendarTime.unixMillisecondsNow() - identity.changed / 1_000_000 < 100
    }
}

/// Files went on changing while they were read.
struct UnstableFiles: Error, Equatable, CustomStringConvertible {
    var paths: [String]
    var description: String {
        "files changed again and again while they were read: \(paths.joined(separator: ", "))"
    }
}

extension FileSnapshot {
    /// What became of an attempt to make something from files.
    struct Attempt<Value> {
        var result: Result<Value, any Error>
        /// The files of the last try, to be watched also if it failed.
        var snapshot: FileSnapshot
    }

    /// Makes something from files that belong together: if one of them changed meanwhile, everything is read again.
    ///
    /// - Parameters:
    ///   - tries: at least one; when they are spent the result is `UnstableFiles`.
    ///   - pause: microseconds between tries.
    static func consistent<Value>(
        tries: Int = 5, pause: UInt32 = 50_000, make: (FileSnapshotReader) throws -> Value
    ) -> Attempt<Value> {
        var attempt = 1
        while true {
            let reader = FileSnapshotReader()
            let result = Result { try make(reader) }
            let changed = reader.snapshot.changedPaths()
            // Also a fault may only be that of a half-written file.
            if changed.isEmpty { return Attempt(result: result, snapshot: reader.snapshot) }
            guard attempt < tries else {
                return Attempt(result: .failure(UnstableFiles(paths: changed)), snapshot: reader.snapshot)
            }
            attempt += 1
            usleep(pause)
        }
    }
}
