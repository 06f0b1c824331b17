/// The size of a header section as RFC 9113 §6.5.2 counts it, and the most that the peer takes.
struct HeadSize: Equatable {
    let octets: Int
    let limit: Int
}

/// What became of a header section that was to be sent.
enum HeadSubmission: Equatable {
    /// It is among the output; or the stream is over, and nothing of it is sent any more.
    case sent
    /// The connection takes no more streams.
    case noStream
    /// It is large, and the peer has not said yet what it takes: `settingsReceived` comes when it has.
    case awaitsSettings
    /// It is larger than what the peer takes (SETTINGS_MAX_HEADER_LIST_SIZE). Nothing was sent: a peer may end the connection
    /// for it, with all streams.
    case tooLarge(HeadSize)
}
