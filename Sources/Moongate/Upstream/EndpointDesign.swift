import MoongateConfig

extension UpstreamConfig {
    /// What an endpoint is made from and keeps for its life: two configurations with different designs have no endpoint in
    /// common.
    ///
    /// It is the whole configuration without what an upstream that lives takes up (`Upstream.update`, `SharedUpstream.use`).
    /// A key that nothing here leaves out makes new endpoints, and so is in force after a reload in any case.
    var endpointDesign: UpstreamConfig {
        var design = UpstreamConfig.withoutLivingParts(self)
        // A mapping that says nothing means the same as none.
        design.connection = connection ?? UpstreamConnectionConfig()
        // An endpoint counts its requests from its first to its last, or not at all.
        design.limits.maxRequests = limits.maxRequests.map { _ in 0 }
        return design
    }

    private static func withoutLivingParts(_ config: UpstreamConfig) -> UpstreamConfig {
        let none = UpstreamConfig(name: config.name, endpoints: [])
        var design = config
        // The hosts, and what is chosen among them: `Upstream.setHosts`.
        design.endpoints = none.endpoints
        design.endpointsFile = none.endpointsFile
        design.dnsRefresh = none.dnsRefresh
        design.balance = none.balance
        design.ringHash = none.ringHash
        design.maglev = none.maglev
        design.hashOn = none.hashOn
        design.outlierDetection = none.outlierDetection
        // What workers share: `SharedUpstream.use`, and the health monitor, which reads it there.
        design.limits = none.limits
        design.healthCheck = none.healthCheck
        // Read whenever health changes: `Upstream.noteHealth`.
        design.panicThreshold = none.panicThreshold
        design.slowStart = none.slowStart
        return design
    }
}
