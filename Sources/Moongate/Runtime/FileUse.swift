import Glibc

/// The use that a file of a generation is read for.
///
/// It is said at the read and decides, together with the file's mode, whether the file is taken: nothing is guessed from contents.
/// All of them let somebody in or lead traffic elsewhere, so none may be writable for everybody: a policy decides by any of its data,
/// whoever writes a certificate's file can put another authority into it, and whoever writes a revocation list can empty it.
enum FileUse: String, Sendable, CaseIterable {
    case configuration = "a configuration"
    case endpoints = "a list of endpoints"
    /// Scripts and their modules.
    case policy = "a policy"
    /// Data that policies read: users, keys, networks, key sets.
    case policyData = "data of a policy"
    case secret = "a secret"
    case certificate = "a certificate"
    case privateKey = "a private key"
    case authorities = "certificates of authorities"
    case revocationLists = "a revocation list"

    /// It is a secret in itself, so that reading it is enough.
    var isConfidential: Bool { self == .secret || self == .privateKey }
}

/// Gives a file of a generation, for the use that is named.
typealias FileContents = (_ path: String, _ use: FileUse) throws -> [UInt8]

/// Why a file is not read.
enum FileFault: Error, Equatable, CustomStringConvertible {
    case system(SystemError)
    /// A folder, a pipe, a device: reading it might not end.
    case noRegularFile(path: String)
    case tooLarge(path: String)
    case everybodyMayWrite(path: String, use: FileUse)

    /// Without the path, but for those of the system.
    var message: String {
        switch self {
        case .system(let error): error.description
        case .noRegularFile: "it is no regular file"
        case .tooLarge: "the file is larger than \(FileFault.limit >> 20) MiB"
        case .everybodyMayWrite(_, let use): "\(use.rawValue) that everybody may write"
        }
    }

    var hint: String? {
        guard case .everybodyMayWrite(let path, let use) = self else { return nil }
        return "chmod \(use.isConfidential ? "o-rwx" : "o-w") \(path)"
    }

    /// In one line, as those say it who have no place for a hint.
    var description: String {
        switch self {
        case .system(let error): error.description
        case .noRegularFile(let path), .tooLarge(let path), .everybodyMayWrite(let path, _):
            "\(path): \(message)\(hint.map { " (hint: \($0))" } ?? "")"
        }
    }

    /// Bytes of a file that is read, whatever its use: it is held in memory.
    static let limit = 16 << 20
}
