import Testing

@testable import Moongate

@Suite struct RetryPushbackTests {
    @Test(
        arguments: [
            ("0", .after(0)), ("1500", .after(1_500_000_000)), ("9999999999", .after(9_999_999_999_000_000)),
            ("-1", .never), ("", .never), ("1.5", .never), ("10000000000", .never), (" 1", .never), ("+1", .never),
        ] as [(String, RetryPushback)])
    func A6aNumberIsAPauseAndAnythingElseForbidsIt(text: String, pushback: RetryPushback) {
        text.withBytes { #expect(RetryPushback($0) == pushback) }
    }

    @Test func A6withoutTheFieldTheServerSaysNothing() { #expect(RetryPushback(nil) == .none) }
}
