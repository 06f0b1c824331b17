import Testing

@testable import Moongate

struct ConstantTimeTests {
    @Test(arguments: [("", "", true), ("a", "a", true), ("abc", "abd", false), ("abc", "ab", false), ("", "a", false)])
    func equalityIsThatOfTheBytes(left: String, right: String, expected: Bool) {
        #expect(left.withBytes { left in right.withBytes { ConstantTime.equal(left, $0) } } == expected)
    }
}
