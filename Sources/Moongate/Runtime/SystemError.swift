import Glibc

/// A system call that failed: which one, and the kernel's reason.
struct SystemError: Error, Equatable, CustomStringConvertible {
    /// The call, with its subject where that helps: `open /etc/moongate.yaml`.
    var call: String
    /// An `errno` value.
    var code: Int32

    init(_ call: String, code: Int32 = errno) {
        self.call = call
        self.code = code
    }

    /// `open /etc/moongate.yaml: No such file or directory`
    var description: String { "\(call): \(SystemError.text(of: code))" }

    /// The kernel's words for an `errno` value; safe on every thread, unlike `strerror`.
    static func text(of code: Int32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let base = buffer.baseAddress, strerror_r(code, base, buffer.count) == 0 else {
                return "error \(code)"
            }
            return String(cString: base)
        }
    }
}
