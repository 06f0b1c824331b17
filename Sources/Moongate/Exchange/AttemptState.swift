/// How an exchange stands with its attempts at the upstream. Part of its record.
struct AttemptState {
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

    /// Body bytes in both directions when the timer fired last, and since when there are so many.
    var bytesSeen: UInt64 = 0
    var silentSince: Instant = 0
}
