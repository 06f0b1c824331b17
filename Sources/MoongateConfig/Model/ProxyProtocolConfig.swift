/// Whether proxies in front of a listener say for whom they connect (HAProxy's PROXY protocol, versions 1 and 2).
public struct ProxyProtocolConfig: Sendable, Equatable {
    public enum Mode: String, Sendable, Equatable, CaseIterable {
        /// Every connection begins with a header.
        case required
        /// Those of trusted proxies may.
        case optional
    }
    public var mode: Mode
    /// Addresses and CIDR blocks that are believed; empty: everybody.
    public var trusted: [String]
    /// How long a header may take.
    public var timeout: Duration
    public init(mode: Mode = .required, trusted: [String] = [], timeout: Duration = .seconds(5)) {
        self.mode = mode
        self.trusted = trusted
        self.timeout = timeout
    }
}
