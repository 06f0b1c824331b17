import Glibc

/// A moment in the Gregorian calendar, UTC.
struct CalendarTime: Equatable {
    var year: Int
    var month: Int
    var day: Int
    var hour: Int
    var minute: Int
    var second: Int
    var millisecond: Int

    /// - Parameter unixMilliseconds: since 1970, without leap seconds; brought into the years 1970 to 9999.
    init(unixMilliseconds: Int64) {
        let milliseconds = Int(min(max(unixMilliseconds, 0), 253_402_300_799_999))
        millisecond = milliseconds % 1000
        second = milliseconds / 1000 % 60
        minute = milliseconds / 60_000 % 60
        hour = milliseconds / 3_600_000 % 24

        // Days are counted from 1 March of the year 0, so that the leap day is a year's last.
        let days = milliseconds / 86_400_000 + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
    }

    /// The wall clock now, in milliseconds since 1970.
    static func unixMillisecondsNow() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}
