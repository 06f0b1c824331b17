/// Why a connection to an endpoint did not come about.
///
/// There are two texts, since clients are never told where an upstream's endpoints are.
struct ConnectTrouble {
    /// For clients and policies. Names no address, host or certificate.
    let told: String
    /// For operators.
    let detail: String

    init(told: String, detail: String) {
        self.told = told
        self.detail = detail
    }

    /// - Parameter text: of a system call or of a limit, which names no address.
    init(_ text: String) { self.init(told: text, detail: text) }
}
