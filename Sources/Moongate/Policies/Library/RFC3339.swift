/// Dates and times of RFC 3339: `2026-11-21T02:40:26.5Z`, `2026-11-21T03:40:26+01:00`.
enum RFC3339 {
    /// In UTC, with milliseconds only where there are some. Times outside the years 1970 to 9999 become the nearest.
    static func text(unixMilliseconds: Int64) -> String {
        let time = CalendarTime(unixMilliseconds: unixMilliseconds)
        func padded(_ number: Int, _ width: Int = 2) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(padded(time.year, 4))-\(padded(time.month))-\(padded(time.day))"
        let clock = "\(padded(time.hour)):\(padded(time.minute)):\(padded(time.second))"
        let fraction = time.millisecond == 0 ? "" : ".\(padded(time.millisecond, 3))"
        return "\(date)T\(clock)\(fraction)Z"
    }

    /// Whole seconds since 1970 and the fraction, or `nil` if it is no such text. A leap second counts as the one after.
    static func parse(_ text: Bytes) -> (seconds: Int64, fraction: Double)? {
        var reader = Reader(text: text)
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"),
            let day = reader.number(2), reader.take("T") || reader.take("t") || reader.take(" "),
            let hour = reader.number(2), reader.take(":"), let minute = reader.number(2), reader.take(":"),
            let second = reader.number(2), let fraction = reader.fraction(), let offset = reader.offset(),
            reader.isAtEnd, (1...12).contains(month), (1...days(in: month, of: year)).contains(day), hour < 24,
            minute < 60, second <= 60
        else { return nil }
        let date = daysSince1970(year, month, day) * 86_400
        return (date + hour * 3600 + minute * 60 + second - offset, fraction)
    }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Years begin in March, so that the leap day is a year's last.
    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let marchMonth = (month + 9) % 12
        let leapDays = floorDivide(shifted, 4) - floorDivide(shifted, 100) + floorDivide(shifted, 400)
        return shifted * 365 + leapDays + (marchMonth * 153 + 2) / 5 + day - 1 - 719_468
    }

    private static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 { a >= 0 ? a / b : -((b - 1 - a) / b) }

    private struct Reader {
        let text: Bytes
        var place = 0

        var isAtEnd: Bool { place == text.count }

        mutating func number(_ width: Int) -> Int64? {
            guard place + width <= text.count else { return nil }
            var number: Int64 = 0
            for _ in 0..<width {
                let digit = text[place] &- 0x30
                guard digit < 10 else { return nil }
                number = number * 10 + Int64(digit)
                place += 1
            }
            return number
        }

        mutating func take(_ letter: Unicode.Scalar) -> Bool {
            guard place < text.count, text[place] == UInt8(ascii: letter) else { return false }
            place += 1
            return true
        }

        /// 0 if there is none; `nil` for a dot without digits.
        mutating func fraction() -> Double? {
            guard take(".") else { return 0 }
            var value = 0.0
            var scale = 0.1
            let start = place
            while place < text.count, text[place] &- 0x30 < 10 {
                value += Double(text[place] &- 0x30) * scale
                scale /= 10
                place += 1
            }
            return place > start ? value : nil
        }

        /// Seconds east of Greenwich.
        mutating func offset() -> Int64? {
            if take("Z") || take("z") { return 0 }
            let isEast = take("+")
            guard isEast || take("-"), let hours = number(2), take(":"), let minutes = number(2), hours < 24,
                minutes < 60
            else { return nil }
            return (isEast ? 1 : -1) * (hours * 3600 + minutes * 60)
        }
    }
}
