/// Ways in which a peer makes us work, or hold memory, for nothing. Each has a limit; beyond it the peer is cut off.
enum Abuse: Int, CaseIterable {
    /// Streams that the peer opens and resets (CVE-2023-44487).
    case rapidReset
    /// Streams that the peer makes us reset by breaking rules (CVE-2025-8671).
    case madeYouReset
    /// A header section in very many frames, or one that does not end (CVE-2024-27316).
    case continuation
    /// CVE-2019-9512
    case ping
    /// CVE-2019-9515
    case settings
    /// CVE-2019-9513
    case priority
    case windowUpdate
    /// DATA without a byte of a body, padded or not (CVE-2019-9518).
    case emptyData
    /// DATA with fewer bytes than the head of a gRPC message has.
    case tinyData
    /// Header sections beyond the limit, such as small blocks that stand for much (CVE-2016-1544).
    case oversizedHeaders
    /// 1xx heads.
    case informational
    /// Frames of unknown types, for streams that are gone, and repeated GOAWAY.
    case stray
    /// Responses that the client lets us keep, and does not take (CVE-2019-9511, CVE-2019-9517).
    case stalledResponse
    /// Bodies that policies collect, of very many requests at a time.
    case collectedRequest
    /// A frame or a header section that is begun and not completed ("slowloris").
    case slowHeaders
    /// A request whose body does not come ("slow POST").
    case slowBody
    /// Frames that the peer does not read from its socket.
    case unreadOutput

    /// For metrics and the log.
    var label: StaticString {
        switch self {
        case .rapidReset: "rapid_reset"
        case .madeYouReset: "made_you_reset"
        case .continuation: "continuation_flood"
        case .ping: "ping_flood"
        case .settings: "settings_flood"
        case .priority: "priority_flood"
        case .windowUpdate: "window_update_flood"
        case .emptyData: "empty_data_flood"
        case .tinyData: "tiny_data_flood"
        case .oversizedHeaders: "oversized_headers"
        case .informational: "informational_flood"
        case .stray: "stray_frames"
        case .stalledResponse: "stalled_response"
        case .collectedRequest: "collected_request"
        case .slowHeaders: "slow_headers"
        case .slowBody: "slow_body"
        case .unreadOutput: "unread_output"
        }
    }

    /// Why a connection ended, for people.
    var text: String {
        switch self {
        case .rapidReset: "too many streams opened and reset"
        case .madeYouReset: "too many streams that broke rules"
        case .continuation: "a header section in too many frames"
        case .ping: "too many PING frames"
        case .settings: "too many SETTINGS frames"
        case .priority: "too many PRIORITY frames"
        case .windowUpdate: "too many WINDOW_UPDATE frames"
        case .emptyData: "too many empty DATA frames"
        case .tinyData: "too many DATA frames of a few bytes"
        case .oversizedHeaders: "too many header sections beyond the limit"
        case .informational: "too many informational heads"
        case .stray: "too many frames that mean nothing"
        case .stalledResponse: "a response that was not taken"
        case .collectedRequest: "requests that hold too much"
        case .slowHeaders: "a header section that was not completed in time"
        case .slowBody: "a request body that did not come in time"
        case .unreadOutput: "frames that were not read"
        }
    }
}
