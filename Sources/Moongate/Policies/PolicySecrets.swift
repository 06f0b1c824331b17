import Glibc
import MoongateConfig

/// The secrets of a configuration, read when its policies are loaded. Their values appear nowhere but in scripts.
enum PolicySecrets {
    /// Longest secret that is read from a file.
    private static let longest = 64 << 10

    /// - Parameter record: where files come from; they are watched like data files.
    /// - Throws: every secret that cannot be read.
    static func read(_ secrets: [SecretConfig], _ record: PolicyFileRecord) throws(DiagnosticList) -> [String: [UInt8]]
    {
        var values: [String: [UInt8]] = [:]
        var faults: [Diagnostic] = []
        for secret in secrets {
            do throws(PolicyFileFault) {
                values[secret.name] = try value(of: secret, record)
            } catch {
                faults.append(
                    Diagnostic(location: secret.location, message: "secret \"\(secret.name)\": \(error.message)"))
            }
        }
        guard faults.isEmpty else { throw DiagnosticList(faults) }
        return values
    }

    private static func value(of secret: SecretConfig, _ record: PolicyFileRecord) throws(PolicyFileFault) -> [UInt8] {
        var bytes: [UInt8]
        switch secret.source {
        case .file(let path):
            do throws(PolicyFileFault) {
                bytes = try record.read(path, as: .secret)
            } catch {
                throw PolicyFileFault(error.message(hiding: path))
            }
            // Editors and `echo` end every file with a line break.
            if bytes.last == 0x0a { bytes.removeLast() }
            if bytes.last == 0x0d { bytes.removeLast() }
        case .environment(let name):
            guard let text = getenv(name) else { throw PolicyFileFault("the environment has no such variable") }
            bytes = Array(UnsafeBufferPointer(start: text, count: strlen(text)).map(UInt8.init(bitPattern:)))
        }
        guard !bytes.isEmpty else { throw PolicyFileFault("it is empty") }
        guard bytes.count <= longest else { throw PolicyFileFault("it is longer than 64 KiB") }
        return bytes
    }
}
