import MoongateConfig

extension ConnectionSchedule.Settings {
    init(_ config: ListenerConnectionConfig) {
        self.init(
            handshake: config.handshakeTimeout.nanoseconds, maxAge: config.maxAge?.nanoseconds ?? 0,
            maxAgeGrace: config.maxAgeGrace?.nanoseconds ?? 0, maxIdle: config.maxIdle?.nanoseconds ?? 0,
            pingInterval: config.keepalive?.interval.nanoseconds ?? 0,
            pingTimeout: config.keepalive?.timeout.nanoseconds ?? 0)
    }
}

extension ConnectionLimits {
    init(_ config: ListenerLimitsConfig) {
        self.init(
            connections: config.connections ?? .max, connectionsPerAddress: config.connectionsPerAddress ?? .max,
            connectionRate: config.connectionRate,
            pendingHandshakes: config.pendingHandshakes)
    }
}

extension AbuseLimits {
    init(_ config: ListenerLimitsConfig) {
        self.init(controlFrames: Int32(clamping: config.controlFrames), resets: Int32(clamping: config.resets))
    }
}

extension StallLimits {
    init(_ config: ListenerConnectionConfig, _ limits: ListenerLimitsConfig) {
        self.init(
            headers: config.requestHeadersTimeout.nanoseconds, output: config.sendTimeout.nanoseconds,
            body: config.requestBodyTimeout.nanoseconds, responses: limits.responseBuffer,
            requests: limits.requestBuffer)
    }
}
