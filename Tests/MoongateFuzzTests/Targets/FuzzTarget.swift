/// One parser of ours, or a group of small ones, as a function of bytes that nobody vouches for.
///
/// `scripts/fuzz` feeds it by libFuzzer, the unit test `CorpusTests` from the files in `Corpus/NAME`. A crash is a finding,
/// and so is `Violation`: something that must hold for every input does not.
struct FuzzTarget: Sendable {
    /// Also the folder of its corpus.
    let name: String
    /// Inputs longer than this are not made.
    let longestInput: Int
    let run: @Sendable (UnsafeBufferPointer<UInt8>) throws -> Void

    init(
        _ name: String, longestInput: Int = 4096, _ run: @escaping @Sendable (UnsafeBufferPointer<UInt8>) throws -> Void
    ) {
        self.name = name
        self.longestInput = longestInput
        self.run = run
    }

    /// Every target there is.
    static let all = compression + requestTexts + grpcTexts + libraryTexts + files + scripts + connections

    static var names: [String] { all.map { $0.name } }

    static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// What must hold for every input does not.
struct Violation: Error, CustomStringConvertible {
    let description: String

    /// - Parameter what: should be so.
    static func check(_ isSo: Bool, _ what: @autoclosure () -> String) throws {
        if !isSo { throw Violation(description: what()) }
    }
}
