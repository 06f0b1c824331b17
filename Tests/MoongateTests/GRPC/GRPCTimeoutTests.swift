import Testing

@testable import Moongate

@Suite struct GRPCTimeoutTests {
    private func parse(_ text: String) -> Int64? { text.withBytes { GRPCTimeout.parse($0) } }

    private func format(_ nanoseconds: Int64) -> String {
        var bytes = [UInt8](repeating: 0, count: GRPCTimeout.maximumLength)
        let count = bytes.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { GRPCTimeout.write(remaining: nanoseconds, to: $0) } ?? 0
        }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    @Test(
        arguments: [
            ("1n", 1), ("1u", 1000), ("1m", 1_000_000), ("1S", 1_000_000_000), ("2M", 120_000_000_000),
            ("1H", 3_600_000_000_000), ("0S", 0), ("00000000n", 0), ("99999999n", 99_999_999),
            ("00000012m", 12_000_000),
            ("99999999H", .max),
        ] as [(String, Int64)])
    func T1AllUnitsAreUnderstood(text: String, nanoseconds: Int64) {
        #expect(parse(text) == nanoseconds)
    }

    @Test(arguments: ["", "1", "S", "123456789n", "1s", "1h", "1 S", "-1S", "+1S", "1.5S", "1SS", "m1", "1ms", "１S"])
    func T1AnythingElseIsMalformed(text: String) {
        #expect(parse(text) == nil)
    }

    @Test(
        arguments: [
            (1, "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"), (100_000_999, "100000u"),
            (1_999_999_999, "1999999u"), (99_999_999_999, "99999999u"), (100_000_000_000, "100000m"),
            (99_999_999_999_999, "99999999m"), (100_000_000_000_000, "100000S"), (.max, "2562047H"),
        ] as [(Int64, String)])
    func T3RemainingTimeIsRoundedDown(nanoseconds: Int64, text: String) {
        #expect(format(nanoseconds) == text)
    }

    @Test func T3NeverLessThanOneUnit() {
        #expect(format(0) == "1n")
        #expect(format(-5) == "1n")
        #expect(format(.min) == "1n")
    }

    @Test func T3NeverMoreThanIsLeftNorMoreThanEightDigits() throws {
        var random = SeededGenerator(state: 3)
        for _ in 0..<2000 {
            let time = Int64(random.next() >> UInt64.random(in: 1..<63, using: &random)) + 1
            let text = format(time)
            let again = try #require(parse(text))
            #expect(text.count <= 9 && again <= time && Double(time - again) <= Double(time) * 0.001, "\(time) \(text)")
        }
    }
}
