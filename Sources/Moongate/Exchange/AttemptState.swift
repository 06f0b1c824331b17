/// How an exchange stands with its attempts at the upstream. Part of its record.
struct AttemptState {
    /// The limit of the attempt under way, or the pause before the next one.
    var timer = Timer()
    /// The attempt under way, counted from 1; those that the upstream did not look at are not counted.
    var number: UInt8 = 1
    /// How often an endpoint was looked for in this attempt.
    var lookups: UInt8 = 0
    /// The route sends again what has failed.
    var mayFollow = false
    /// The response's head is kept back, since the status behind it may ask for another attempt.
    var holdsHead = false
    /// The pause before the next attempt is over.
    var isDue = false
    /// Attempts that count against the upstream's limit of retries.
    var charged: UInt8 = 0
    /// The upstream refused to process the request once already.
    var wasRefused = false

    // MARK: Silence

    var idleTimer = Timer()
    /// Body bytes in both directions when the timer fired last, and since when there are so many.
    var bytesSeen: UInt64 = 0
    var silentSince: Instant = 0

    /// As it was when the record was made; the timers must not be set.
    mutating func forgetLastUse() {
        number = 1
        lookups = 0
        mayFollow = false
        holdsHead = false
        isDue = false
        charged = 0
        wasRefused = false
        bytesSeen = 0
    }
}
