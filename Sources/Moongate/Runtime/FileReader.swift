import Glibc

/// Reads whole files, for work off the way of requests.
enum FileReader {
    /// The file's bytes. Also right for files of `/proc`, which claim to be empty.
    ///
    /// - Parameter limit: in bytes; a larger file is an error (`EFBIG`), because it would be held in memory.
    static func read(_ path: String, limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
        // Without O_NONBLOCK, opening a named pipe that has taken a file's place would wait for a writer.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw SystemError("open \(path)") }
        defer { close(file) }
        return try read(file, path: path, limit: limit)
    }

    /// The rest of an open file, from where it stands.
    static func read(_ file: Int32, path: String, limit: Int) throws(SystemError) -> [UInt8] {
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read \(path)") }
            guard count > 0 else { return content }
            guard content.count + count <= limit else { throw SystemError("read \(path)", code: EFBIG) }
            content += chunk[..<count]
        }
    }
}
