/// A list that decides who gets in and serves as it was, although its file says something else by now: a reload was refused.
struct StaleList: Sendable, Equatable {
    var kind: SharedListKind
    var path: String

    /// For the log.
    var warning: String {
        switch kind {
        case .users: "the old list of users stays in force: users that were removed from it still get in"
        case .keys: "the old list of keys stays in force: keys that were removed from it still get in"
        case .networks: "the old list of networks stays in force: it lets in and keeps out whom it did before"
        case .lines: "the old list stays in force"
        }
    }
}
