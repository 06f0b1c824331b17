import CMoongate
import Glibc

/// A process that is to take over from this one: started with its listening sockets, and not ready yet.
struct Successor {
    /// How long it may take to be ready.
    static let patience = Duration.seconds(60)

    enum Progress: Equatable {
        case starting
        case ready
        /// For people.
        case failed(String)
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let process: pid_t
    /// Readable when the process has something to tell, or has ended.
    let file: Int32
    let deadline: Instant

    /// Starts the program that this process was started as, which may have been replaced on disk.
    ///
    /// - Parameter sockets: with the names by which listeners on any free port find theirs.
    init(_ sockets: [(descriptor: Int32, name: String)], at now: Instant) throws(Failure) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .system("pipe", errno) }
        defer { close(ends[1]) }
        for end in ends { _ = mg_take_descriptor(end) }
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        let names = sockets.map { InheritedSockets.plain($0.name) }.joined(separator: ":")
        let descriptors = sockets.map(\.descriptor) + [ends[1]]
        var child: pid_t = 0
        let fault = mg_spawn_successor(
            CommandLine.arguments.first ?? "moongate", &arguments, descriptors, descriptors.count, names, &child)
        guard fault == 0 else {
            close(ends[0])
            throw .system("start \(CommandLine.arguments.first ?? "")", fault)
        }
        process = child
        file = ends[0]
        deadline = now &+ Successor.patience.nanoseconds
    }

    /// Looks how far the process is. Anything but `starting` is its last word.
    func progress(at now: Instant) -> Progress {
        var byte: UInt8 = 0
        switch read(file, &byte, 1) {
        case 1: return .ready
        case 0: return .failed("it ended before it was ready\(ending())")
        default: break
        }
        guard now >= deadline else { return .starting }
        kill(process, SIGKILL)
        return .failed("it was not ready within \(Successor.patience.components.seconds) s")
    }

    /// How the process ended, as far as it has.
    private func ending() -> String {
        var status: Int32 = 0
        // The pipe closes a moment before the process can be waited for.
        for _ in 0..<100 where waitpid(process, &status, WNOHANG) == 0 { usleep(10_000) }
        if status & 0x7f == 0 { return ", with code \(status >> 8 & 0xff)" }
        return ", by signal \(status & 0x7f)"
    }

    /// Ends the process in an orderly way; to be asked again for its progress.
    func end() { kill(process, SIGTERM) }

    /// To be called once, at the end.
    func forget() { close(file) }
}

extension Successor.Failure {
    fileprivate static func system(_ what: String, _ code: Int32) -> Successor.Failure {
        Successor.Failure(description: "\(what): \(String(cString: strerror(code)))")
    }
}
