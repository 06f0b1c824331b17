import Foundation
import MoongateConfig

/// The output of commands. Texts may hold what others have written, so that hidden characters never get through.
enum Terminal {
    /// To standard output, as it is but for hidden characters.
    static func write(_ text: String) {
        FileHandle.standardOutput.write(Data(text.visible(keepingLines: true).utf8))
    }

    /// Bytes that are not UTF-8 become U+FFFD.
    static func write(_ bytes: [UInt8]) { write(String(decoding: bytes, as: UTF8.self)) }

    /// To standard output, as a line.
    static func print(_ line: String) { write(line + "\n") }

    /// To standard error, as a line.
    static func printError(_ line: String) {
        FileHandle.standardError.write(Data((line.visible(keepingLines: true) + "\n").utf8))
    }
}
