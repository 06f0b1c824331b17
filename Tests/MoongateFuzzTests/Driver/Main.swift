import Glibc

/// Runs one target under libFuzzer: `moongate-fuzz TARGET [options and folders of libFuzzer]`; `--list` names the targets.
@main enum Main {
    private nonisolated(unsafe) static var target: FuzzTarget?

    static func main() {
        guard let name = CommandLine.arguments.dropFirst().first else { return fail("which target? --list names them") }
        if name == "--list" {
            for target in FuzzTarget.all { print(target.name, target.longestInput) }
            return
        }
        guard let chosen = FuzzTarget.named(name) ?? (name == FuzzTarget.proof.name ? .proof : nil) else {
            return fail("no target \(name)")
        }
        target = chosen
        // The name is no argument of libFuzzer's.
        let arguments =
            [CommandLine.arguments[0], "-max_len=\(chosen.longestInput)"] + CommandLine.arguments.dropFirst(2)
        var pointers = arguments.map { strdup($0) } + [nil]
        pointers.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            var count = Int32(arguments.count)
            var argument: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = base
            exit(runFuzzer(&count, &argument) { bytes, count in Main.one(bytes, count) })
        }
    }

    private static func one(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        do {
            try target?.run(UnsafeBufferPointer(start: bytes, count: count))
        } catch {
            fail("VIOLATION: \(error)")
            abort()
        }
        return 0
    }

    private static func fail(_ text: String) {
        let line = Array((text + "\n").utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}

/// libFuzzer's entry for programs with a `main` of their own.
@_silgen_name("LLVMFuzzerRunDriver") private func runFuzzer(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32
