import Foundation

/// A folder that is gone after the test, with the ways in which people and tools change files.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        let base = FileManager.default.temporaryDirectory.resolvingSymlinksInPath().path
        path = base + "/moongate-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    func text(_ name: String) -> String { (try? String(contentsOfFile: file(name), encoding: .utf8)) ?? "" }

    /// Truncates and writes in place.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try Data(text.utf8).write(to: URL(fileURLWithPath: file(name)))
        return file(name)
    }

    /// Writes another file and renames it over, as editors do.
    func replace(_ name: String, _ text: String) throws {
        try write(name + ".swp", text)
        try rename(name + ".swp", name)
    }

    func rename(_ from: String, _ to: String) throws {
        guard Glibc.rename(file(from), file(to)) == 0 else { throw POSIXError(.EIO) }
    }

    func makeFolder(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: file(name), withIntermediateDirectories: true)
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: file(name)) }

    func link(_ name: String, to target: String) throws {
        guard symlink(target, file(name)) == 0 else { throw POSIXError(.EIO) }
    }
}
