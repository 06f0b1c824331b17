import Glibc

/// Reads a password from standard input.
enum PasswordInput {
    enum Fault: Error, CustomStringConvertible {
        case differ, interrupted, noInput, tooLong, severalLines

        var description: String {
            switch self {
            case .differ: "The two passwords differ."
            case .interrupted: "Interrupted."
            case .noInput: "There is no password on standard input."
            case .tooLong: "The input is longer than any password can be."
            case .severalLines: "The input has more than one line."
            }
        }
    }

    private static let longest = 4096

    /// On a terminal asks twice, without echo; otherwise takes the one line that is there.
    static func read() throws -> [UInt8] {
        guard isatty(STDIN_FILENO) == 1 else { return try readAll() }
        let password = try ask("Password: ")
        guard try ask("Once more: ") == password else { throw Fault.differ }
        return password
    }

    private static func readAll() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let byte = try readByte() {
            bytes.append(byte)
            if bytes.count > longest { throw Fault.tooLong }
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        if bytes.isEmpty { throw Fault.noInput }
        if bytes.contains(UInt8(ascii: "\n")) { throw Fault.severalLines }
        return bytes
    }

    /// The echo is on again afterwards, Ctrl-C included.
    private static func ask(_ prompt: String) throws -> [UInt8] {
        var before = termios()
        guard tcgetattr(STDIN_FILENO, &before) == 0 else { throw Fault.noInput }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        let interrupt = InterruptibleReads()
        defer { interrupt.end() }
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent)
        defer { tcsetattr(STDIN_FILENO, TCSAFLUSH, &before) }
        write(prompt)
        defer { write("\n") }

        var bytes: [UInt8] = []
        while let byte = try readByte(), byte != UInt8(ascii: "\n") {
            bytes.append(byte)
            if bytes.count > longest { throw Fault.tooLong }
        }
        if bytes.isEmpty { throw Fault.noInput }
        return bytes
    }

    /// `nil` at the end of the input.
    private static func readByte() throws -> UInt8? {
        var byte: UInt8 = 0
        switch Glibc.read(STDIN_FILENO, &byte, 1) {
        case 1: return byte
        case 0: return nil
        default: throw errno == EINTR ? Fault.interrupted : Fault.noInput
        }
    }

    /// To standard error: standard output carries the hash alone.
    private static func write(_ text: String) {
        _ = text.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
    }
}

/// Makes Ctrl-C and SIGTERM interrupt a read instead of ending the process, so that the terminal can be put right.
private struct InterruptibleReads {
    private var interrupt = sigaction()
    private var terminate = sigaction()

    init() {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        sigaction(SIGINT, &action, &interrupt)
        sigaction(SIGTERM, &action, &terminate)
    }

    func end() {
        var (interrupt, terminate) = (interrupt, terminate)
        sigaction(SIGINT, &interrupt, nil)
        sigaction(SIGTERM, &terminate, nil)
    }
}
