/// Requests on a connection that was made for another certificate (421).
extension Pooled where Record == ExchangeRecord {
    /// False: the request was refused.
    @inline(__always) func admitsAuthority() -> Bool {
        guard let guardian = self.factsReference?._withUnsafeGuaranteedRef({ $0.authorityGuard }) else { return true }
        return guardian._withUnsafeGuaranteedRef { judge($0) }
    }

    private func judge(_ guardian: AuthorityGuard) -> Bool {
        guard let authority = self.request.value(.authority), !guardian.knows(authority) else { return true }
        if guardian.admits(authority, host: Authority(splitting: authority).host) { return true }
        fail(.misdirected(serverName: guardian.serverName))
        return false
    }
}
