/// The name of a request in logs and in error messages to clients: 16 hex digits.
enum RequestNumber {
    /// Lends the digits for the time of the call; allocates nothing.
    static func withText(_ number: UInt64, _ body: (Bytes) -> Void) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { buffer in
            guard let base = buffer.baseAddress else { return }
            for place in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - 4 * place)) & 15
                base[place] = digit < 10 ? 48 + digit : 87 + digit
            }
            body(Bytes(base, 16))
        }
    }

    static func text(_ number: UInt64) -> String {
        var text = ""
        withText(number) { text = $0.string }
        return text
    }
}
