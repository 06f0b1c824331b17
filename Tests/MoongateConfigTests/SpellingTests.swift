import Testing

@testable import MoongateConfig

@Suite struct SpellingTests {
    @Test(arguments: [("upstraem", "upstream"), ("max-header-bytes", "max_header_bytes"), ("Listeners", "listeners")])
    func nearWordIsSuggested(_ word: String, _ meant: String) {
        let known = ["upstream", "listeners", "max_header_bytes", "max_concurrent_streams"]
        #expect(Spelling.suggestion(for: word, among: known) == "did you mean \"\(meant)\"?")
    }

    @Test func farWordIsNotSuggested() {
        #expect(Spelling.suggestion(for: "colour", among: ["name", "address"]) == nil)
    }

    @Test(arguments: [
        ("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "abd", 1), ("kitten", "sitting", 3),
    ])
    func distanceCountsEdits(_ a: String, _ b: String, _ distance: Int) {
        #expect(Spelling.editDistance(Array(a.utf8), Array(b.utf8)) == distance)
    }
}
