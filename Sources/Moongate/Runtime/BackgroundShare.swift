/// When those go on who have had their time in a loop's turn: behind what others wait for.
///
/// Others come in turns of their own: a request goes to its upstream in one and is answered in another. So those behind go on once
/// nothing has come for a sixteenth of the time that they took last, or when others have had as much time as they.
struct BackgroundShare {
    private static let millisecond: UInt64 = 1_000_000

    /// When they ended, or began to wait.
    private var since: Instant?
    /// What they took before.
    private var time: UInt64 = 0
    /// Something has come since.
    private var isBusy = false

    /// Milliseconds that a turn may wait for others.
    var delay: Int {
        guard isBusy else { return 0 }
        return max(1, Int(clamping: time / 16 / BackgroundShare.millisecond))
    }

    /// Whether they go on at the end of a turn.
    ///
    /// - Parameters:
    ///   - events: how much has come for others in the turn.
    ///   - turn: from its beginning to its end.
    mutating func isDue(events: Int, turn: Range<Instant>) -> Bool {
        guard let since else {
            // They have begun to wait in this turn, in which they have had their time.
            since = turn.upperBound
            time = turn.upperBound - turn.lowerBound
            isBusy = true
            return false
        }
        isBusy = events > 0
        return events == 0 || turn.upperBound &- since >= time
    }

    /// They have gone on, from the first to the second of these times.
    mutating func taken(_ times: Range<Instant>) {
        time = times.upperBound - times.lowerBound
        since = times.upperBound
        isBusy = false
    }
}
