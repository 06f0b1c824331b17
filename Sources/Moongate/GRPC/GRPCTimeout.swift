/// The value of `grpc-timeout`: one to eight digits and a unit (`H`, `M`, `S`, `m`, `u`, `n`).
enum GRPCTimeout {
    /// Bytes that `write` may take: eight digits and the unit.
    static let maximumLength = 9

    /// Nanoseconds, held at `Int64.max` (292 years); 0 has expired already. `nil` if the value is malformed.
    static func parse(_ value: Bytes) -> Int64? {
        guard value.count >= 2, value.count <= maximumLength else { return nil }
        var number: Int64 = 0
        for index in 0..<value.count - 1 {
            guard value[index] &- 48 < 10 else { return nil }
            number = number * 10 + Int64(value[index] - 48)
        }
        guard let unit = nanoseconds(of: value[value.count - 1]) else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: unit)
        return overflow ? .max : product
    }

    /// Writes the time that remains for the next hop and returns the number of bytes, at most `maximumLength`.
    ///
    /// In the finest unit that takes no more than eight digits, rounded down, but never 0: whether the time is
    /// up is decided before, not told to the upstream.
    static func write(remaining nanoseconds: Int64, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var (number, unit) = inFinestUnit(max(1, nanoseconds))
        var digits: Int64 = 10
        var count = 1
        while number >= digits {
            digits *= 10
            count += 1
        }
        for place in 1...count {
            target[count - place] = 48 + UInt8(number % 10)
            number /= 10
        }
        target[count] = unit
        return count + 1
    }

    /// 292 years are 2,562,047 hours: the last one always fits.
    private static func inFinestUnit(_ nanoseconds: Int64) -> (number: Int64, unit: UInt8) {
        let most: Int64 = 99_999_999
        if nanoseconds <= most { return (nanoseconds, UInt8(ascii: "n")) }
        if nanoseconds / 1000 <= most { return (nanoseconds / 1000, UInt8(ascii: "u")) }
        if nanoseconds / 1_000_000 <= most { return (nanoseconds / 1_000_000, UInt8(ascii: "m")) }
        if nanoseconds / 1_000_000_000 <= most { return (nanoseconds / 1_000_000_000, UInt8(ascii: "S")) }
        if nanoseconds / 60_000_000_000 <= most { return (nanoseconds / 60_000_000_000, UInt8(ascii: "M")) }
        return (nanoseconds / 3_600_000_000_000, UInt8(ascii: "H"))
    }

    private static func nanoseconds(of unit: UInt8) -> Int64? {
        switch unit {
        case UInt8(ascii: "n"): 1
        case UInt8(ascii: "u"): 1000
        case UInt8(ascii: "m"): 1_000_000
        case UInt8(ascii: "S"): 1_000_000_000
        case UInt8(ascii: "M"): 60_000_000_000
        case UInt8(ascii: "H"): 3_600_000_000_000
        default: nil
        }
    }
}
