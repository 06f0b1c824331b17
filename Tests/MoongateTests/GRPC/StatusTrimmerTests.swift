import Testing

@testable import Moongate

@Suite final class StatusTrimmerTests {
    private let list = HeaderList()

    deinit {
        list.destroy()
    }

    private func trimmed(to limit: Int) -> [String] {
        list.reset()
        list.add("x-first", "1")
        list.add("grpc-status", "5")
        list.add("grpc-message", "a%E4%BD%A0 b")
        list.add("grpc-status-details-bin", "AAAA")
        list.add("x-last", "2")
        StatusTrimmer.trim(list, to: limit)
        return (0..<list.count).map { "\(list[$0].name.string)=\(list[$0].value.string)" }
    }

    @Test func detailsGoFirstThenOtherFieldsThenTheEndOfTheMessage() {
        let status = 11 + 1 + 32
        let message = 12 + 32
        let others = 7 + 1 + 32 + 6 + 1 + 32
        let whole = ["x-first=1", "grpc-status=5", "grpc-message=a%E4%BD%A0 b", "x-last=2"]
        #expect(trimmed(to: status + message + 12 + others) == whole)
        #expect(trimmed(to: status + message + 12) == ["grpc-status=5", "grpc-message=a%E4%BD%A0 b"])
        #expect(trimmed(to: status + message + 11) == ["grpc-status=5", "grpc-message=a%E4%BD%A0"])
        #expect(trimmed(to: status + message + 9) == ["grpc-status=5", "grpc-message=a"])
        #expect(trimmed(to: status + message) == ["grpc-status=5"])
        #expect(trimmed(to: 0) == ["grpc-status=5"])
    }

    @Test(
        arguments: [
            ("plain", 3, "pla"), ("plain", 9, "plain"), ("a b", 2, "a"), ("%41%42", 5, "%41"), ("%41%42", 4, "%41"),
            ("%41%42", 3, "%41"), ("x%E4%BD%A0y", 10, "x%E4%BD%A0"), ("x%E4%BD%A0y", 9, "x"), ("x%E4%BD%A0y", 7, "x"),
            ("x%E4%BD%A0y", 4, "x"), ("x%E4%BD%A0y", 1, "x"), ("x", 0, ""), ("%", 1, "%"), ("%A0%A0", 3, ""),
        ] as [(String, Int, String)])
    func anEncodedMessageIsCutBetweenCharacters(text: String, limit: Int, expected: String) {
        text.withBytes { #expect(GRPCMessageText.cutEncoded($0, to: limit).string == expected) }
    }
}
