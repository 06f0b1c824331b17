/// Requests that stay with their endpoint: upstreams that balance by a hash of the request.
extension Pooled where Record == ExchangeRecord {
    /// What policies ask of the choice of an endpoint, and where they ask for no hash, that of `hash_on`.
    @inline(__always) func endpointWish(_ upstream: Upstream) -> EndpointPreference? {
        upstream.hashesRequests ? hashedWish(upstream) : self.policyRun?.subject.wish
    }

    private func hashedWish(_ upstream: Upstream) -> EndpointPreference? {
        let asked = self.policyRun?.subject.wish
        guard asked?.hash == nil, let hashing = upstream.requestHash else { return asked }
        var wish = asked ?? EndpointPreference()
        switch hashing.answer(self.request, client: clientAddress, givesCookies: true) {
        case .hash(let hash): wish.hash = hash
        case .needsCookie:
            // A further attempt keeps the cookie of the first one.
            if self.hashCookie == 0 { self.hashCookie = self.host.map { $0.random() | 1 } ?? 1 }
            wish.hash = RequestHash.hash(cookie: self.hashCookie)
        case .none: return asked
        }
        return wish
    }

    /// The upstream has answered a request whose endpoint was chosen by a new cookie: gives it to the client.
    func setHashCookie() {
        guard self.upstreamIndex >= 0, let generation = self.generation,
            let cookie = generation.upstream(self.upstreamIndex).requestHash?.cookie
        else { return }
        cookie.withText(self.hashCookie) { self.response.add("set-cookie", $0) }
    }
}
