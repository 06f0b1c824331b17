import Glibc

/// An open file or stream that log lines go to.
final class LogDestination: Sendable {
    let file: Int32
    /// `nil` for streams that the process was born with.
    let path: String?
    /// Regular files take any amount at once; pipes, sockets and terminals are asked first.
    let isRegularFile: Bool

    static let standardOutput = LogDestination(file: STDOUT_FILENO, path: nil)
    static let standardError = LogDestination(file: STDERR_FILENO, path: nil)

    private init(file: Int32, path: String?) {
        self.file = file
        self.path = path
        var status = stat()
        isRegularFile = fstat(file, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Opens a file for appending, and creates it, readable by owner and group.
    convenience init(path: String) throws(SystemError) {
        // Opening a named pipe that nobody reads would wait for ever without O_NONBLOCK.
        let file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o640)
        guard file >= 0 else { throw SystemError("open \(path)") }
        self.init(file: file, path: path)
    }

    /// For tests and inherited descriptors: the caller keeps `file` open.
    convenience init(inherited file: Int32) { self.init(file: file, path: nil) }

    deinit {
        if path != nil { close(file) }
    }
}
