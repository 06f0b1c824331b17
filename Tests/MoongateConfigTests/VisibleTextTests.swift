import Testing

@testable import MoongateConfig

@Suite struct VisibleTextTests {
    static let hidden: [Unicode.Scalar] =
        (0...0x1F).compactMap(Unicode.Scalar.init) + (0x7F...0x9F).compactMap { Unicode.Scalar($0) }
        + ([0x61C, 0x200E, 0x200F] + Array(0x2028...0x202E) + Array(0x2066...0x2069)).compactMap {
            Unicode.Scalar(UInt32($0))
        }

    @Test func controlAndDirectionCharactersAreEscaped() {
        for scalar in VisibleTextTests.hidden {
            let text = "a\(scalar)b"
            #expect(!text.visible().unicodeScalars.contains(scalar), "U+\(String(scalar.value, radix: 16))")
            #expect(text.visible().hasPrefix("a\\") && text.visible().hasSuffix("b"))
            #expect(!quoted(text).unicodeScalars.contains(scalar))
            #expect(!JSONValue.string(text).text().unicodeScalars.contains(scalar))
            let fault = Diagnostic(location: SourceLocation(file: text, line: 1, column: 1), message: text, hint: text)
            let isKept = scalar == "\n" || scalar == "\t"
            #expect(isKept || !fault.description.unicodeScalars.contains(scalar))
        }
        #expect("\u{9B}31m\u{202E}".visible() == "\\u{009B}31m\\u{202E}")
    }

    @Test func whatCanBeSeenStays() {
        let text = "grüße 東京 🦀 \u{7FF}\u{A0}\u{2027}\u{2030}\u{FFFD}"
        #expect(text.visible() == text)
        #expect("a\tb\nc\r".visible(keepingLines: true) == "a\tb\nc\\r")
    }
}
