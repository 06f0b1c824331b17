/// What a server says about another attempt: `grpc-retry-pushback-ms` (gRFC A6, "Pushback").
enum RetryPushback: Equatable {
    /// It says nothing.
    case none
    /// After exactly so many nanoseconds.
    case after(UInt64)
    /// None: a negative number, or anything that is no number.
    case never

    static let field = "grpc-retry-pushback-ms" as StaticString

    init(_ value: Bytes?) {
        guard let value else {
            self = .none
            return
        }
        // Ten digits of milliseconds are more than a hundred days.
        guard (1...10).contains(value.count) else {
            self = .never
            return
        }
        var milliseconds: UInt64 = 0
        for index in 0..<value.count {
            guard value[index] &- 48 < 10 else {
                self = .never
                return
            }
            milliseconds = milliseconds * 10 + UInt64(value[index] - 48)
        }
        self = .after(milliseconds * 1_000_000)
    }
}
