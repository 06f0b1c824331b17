import ArgumentParser
import Glibc
import Moongate

/// `moongate run`: the edge itself.
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the edge.",
        discussion: """
            Ends with code 0 after SIGTERM and a drain, with 2 if the configuration cannot be used. SIGHUP reloads; so
            does every change of the configuration, its policies and certificates.
            """)

    @Option(name: [.short, .long], help: "The configuration file.")
    var config: String

    func run() throws { throw ExitCode(Server.run(path: absolutePath(config))) }
}

/// Paths are watched and shown in messages, so that a later change of folder must not matter.
func absolutePath(_ path: String) -> String {
    guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
    defer { free(folder) }
    return String(cString: folder) + "/" + path
}
