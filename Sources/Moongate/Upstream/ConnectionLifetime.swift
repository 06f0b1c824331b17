import MoongateConfig

/// How long connections to an endpoint may live and be silent.
struct ConnectionLifetime: Equatable {
    let schedule: ConnectionSchedule.Settings
    /// For the kernel: data without acknowledgement, or probes without answer.
    let deadPeerSeconds: Int32

    init(_ config: UpstreamConnectionConfig) {
        schedule = ConnectionSchedule.Settings(
            maxAge: config.maxAge?.nanoseconds ?? 0, maxIdle: config.maxIdle?.nanoseconds ?? 0,
            pingInterval: config.keepalive?.interval.nanoseconds ?? 0,
            // gRFC A8: servers take PINGs without a stream for an attack.
            pingTimeout: config.keepalive?.timeout.nanoseconds ?? 0, pingsWithoutStreams: config.keepalive == nil)
        deadPeerSeconds = Int32(clamping: max(1, config.tcpUserTimeout.components.seconds))
    }
}
