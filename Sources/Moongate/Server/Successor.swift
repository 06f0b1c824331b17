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
    /// Readable when the process has something to tell, or has ended; -1: it has said all that it will.
    private(set) var file: Int32
    private(set) var deadline: Instant
    private var end: ChildProcesses.End?

    /// How long the end of a process may stay out after its end of the pipe was closed.
    private static let lastWord = Duration.seconds(1)

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

    /// The process is no more.
    mutating func ended(_ end: ChildProcesses.End) {
        guard end.process == process else { return }
        self.end = end
    }

    /// Looks how far the process is. Anything but `starting` is its last word; whoever asks then ends the process.
    mutating func progress(at now: Instant) -> Progress {
        var byte: UInt8 = 0
        if file >= 0 {
            switch read(file, &byte, 1) {
            case 1: return .ready
            case 0:
                // Closed a moment before the process can be waited for.
                forget()
                deadline = min(deadline, now &+ Successor.lastWord.nanoseconds)
            default: break
            }
        }
        if let end { return .failed("it ended before it was ready\(end.text)") }
        guard now >= deadline else { return .starting }
        return .failed(
            file < 0 ? "it will not be ready" : "it was not ready within \(Successor.patience.components.seconds) s")
    }

    /// To be called at the end.
    mutating func forget() {
        if file >= 0 { close(file) }
        file = -1
    }
}

extension Successor.Failure {
    fileprivate static func system(_ what: String, _ code: Int32) -> Successor.Failure {
        Successor.Failure(description: "\(what): \(String(cString: strerror(code)))")
    }
}
