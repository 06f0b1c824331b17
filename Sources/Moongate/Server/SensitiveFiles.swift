import Glibc
import MoongateConfig

/// The files of a configuration that let somebody in: private keys, secrets, and files with hashes of passwords.
///
/// One that everybody may write is a fault, since whoever is on the machine could let himself in; one that everybody may
/// read is worth a warning. What matters is the file's own mode; symbolic links are followed.
struct SensitiveFiles {
    private(set) var faults: [Diagnostic] = []
    private(set) var warnings: [Diagnostic] = []

    /// - Parameter snapshot: the files as they were read.
    init(_ config: Configuration, _ snapshot: FileSnapshot) {
        var kinds: [String: String] = [:]
        for (path, entry) in snapshot.entries {
            if let bytes = entry.content?.bytes, SensitiveFiles.holdsHashes(bytes) { kinds[path] = "password hashes" }
        }
        for secret in config.secrets {
            if case .file(let path) = secret.source { kinds[path] = "a secret" }
        }
        let certificates =
            config.listeners.flatMap { $0.tls?.certificates ?? [] }
            + config.upstreams.compactMap { $0.tls?.certificate }
        for certificate in certificates { kinds[certificate.key] = "a private key" }
        for (path, kind) in kinds.sorted(by: { $0.key < $1.key }) { check(path, kind, snapshot) }
    }

    private mutating func check(_ path: String, _ kind: String, _ snapshot: FileSnapshot) {
        guard let mode = snapshot.entries[path]?.identity?.mode else { return }
        func diagnostic(_ what: String) -> Diagnostic {
            Diagnostic(
                location: SourceLocation(file: path, line: 0, column: 0), message: "\(kind) that everybody may \(what)",
                hint: "chmod \(what == "write" ? "o-rwx" : "o-r") \(path)")
        }
        if mode & S_IWOTH != 0 {
            faults.append(diagnostic("write"))
        } else if mode & S_IROTH != 0 {
            warnings.append(diagnostic("read"))
        }
    }

    /// Hashes as crypt(5) writes them and policies take them, see `PasswordHash`, wherever they stand: a configuration and
    /// a script may hold some, too.
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
