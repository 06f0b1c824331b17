import Glibc
import MoongateConfig

/// Faults and warnings about others who may write and read the files of a generation.
///
/// One that everybody may write is not read at all (`FileSnapshotReader`), since it lets in whoever is on the machine; one that
/// holds a secret and that everybody may read is worth a warning. What matters is the file's own mode; symbolic links are followed.
struct SensitiveFiles {
    /// Files that were refused: also those whose refusal a script has caught.
    private(set) var faults: [Diagnostic] = []
    private(set) var warnings: [Diagnostic] = []

    /// - Parameter snapshot: the files as they were read.
    init(_ snapshot: FileSnapshot) {
        for (path, entry) in snapshot.entries.sorted(by: { $0.key < $1.key }) {
            guard let mode = entry.identity?.mode, let use = SensitiveFiles.foremost(entry.uses) else { continue }
            if mode & S_IWOTH != 0 {
                faults.append(FileFault.everybodyMayWrite(path: path, use: use).diagnostic(of: path))
            } else if mode & S_IROTH != 0, let kind = SensitiveFiles.secret(in: entry, use) {
                warnings.append(
                    Diagnostic(
                        location: SourceLocation(file: path, line: 0, column: 0),
                        message: "\(kind) that everybody may read", hint: "chmod o-r \(path)"))
            }
        }
    }

    /// The most confidential of a file's uses.
    private static func foremost(_ uses: Set<FileUse>) -> FileUse? {
        uses.min { ($0.isConfidential ? 0 : 1, $0.rawValue) < ($1.isConfidential ? 0 : 1, $1.rawValue) }
    }

    /// Hashes of passwords may stand in data, in a configuration and in a script, none of which is secret for its use.
    private static func secret(in entry: FileSnapshot.Entry, _ use: FileUse) -> String? {
        if use.isConfidential { return use.rawValue }
        return entry.content.map { holdsHashes($0.bytes) } == true ? "password hashes" : nil
    }

    /// Hashes as crypt(5) writes them and policies take them, see `PasswordHash`.
    private static func holdsHashes(_ bytes: [UInt8]) -> Bool {
        var place = bytes.startIndex
        while let sign = bytes[place...].firstIndex(of: UInt8(ascii: "$")) {
            place = sign + 1
            let tail = bytes[sign...]
            guard methods.contains(where: { tail.starts(with: $0) }) else { continue }
            if tail.prefix(while: isOfHash).count >= shortestHash { return true }
        }
        return false
    }

    private static let methods = ["$2b$", "$2y$", "$y$j"].map { Array($0.utf8) }
    /// A hash by bcrypt has 60 characters, one by yescrypt more; a text that only names a method has fewer.
    private static let shortestHash = 50

    private static func isOfHash(_ byte: UInt8) -> Bool {
        byte &- 0x30 < 10 || byte.asciiLowercased &- 0x61 < 26 || byte == 0x24 || byte == 0x2e || byte == 0x2f
    }
}

extension FileFault {
    /// About the file at `path`, wherever it was named.
    func diagnostic(of path: String) -> Diagnostic {
        Diagnostic(location: SourceLocation(file: path, line: 0, column: 0), message: message, hint: hint)
    }
}

extension FileSnapshotReader {
    /// For certificates and their kin: faults stand at the file.
    func contents(_ path: String, _ use: FileUse) throws -> [UInt8] {
        do throws(FileFault) {
            return try read(path, as: use)
        } catch {
            throw error.diagnostic(of: path)
        }
    }
}
