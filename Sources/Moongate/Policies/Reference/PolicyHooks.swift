extension PolicyAPI {
    /// A function that a policy file may define and Moongate calls.
    public struct Hook: Sendable {
        public var name: String
        /// Its parameters, as LuaCATS writes them.
        public var type: String
        public var doc: String
        public var isEnvoys = false
    }

    /// The hooks, in the order of the reference.
    public static let hooks = [
        Hook(
            name: "on_init", type: "(config: table)",
            doc: """
                Once for each use of the policy with other settings, when the configuration is loaded. An error \
                refuses the configuration.
                """),
        Hook(
            name: "on_request", type: "(handle: Handle)",
            doc: "When the head of a request has come, before it goes to the upstream."),
        Hook(
            name: "on_response", type: "(handle: Handle)",
            doc: "When the head of the response has come, before it goes to the client."),
        Hook(
            name: "on_grpc_message", type: "(handle: Handle, message: GrpcMessage)",
            doc: """
                For each message of a gRPC call, in both directions, when it is complete and before it goes on; \
                `handle:isResponse()` tells which way. Behind the hook of the head, whose headers are on their way.
                """),
        Hook(
            name: "on_log", type: "(handle: Handle)",
            doc: """
                When a request is over, for the policies that it reached: everything can be read, nothing changed, and \
                nothing may wait. A function that would wait raises an error before it sends anything; `handle:httpCall` with \
                `asynchronous` does not wait. An error is logged and counted, and has no other effect.
                """),
        Hook(
            name: "on_close", type: "(config: table)",
            doc: """
                Once for each use of the policy and worker, when its script engine ends: after a reload has replaced it \
                and its last request is over, and when the edge stops. Its timers have ended. It may wait and call \
                upstreams, to send what it has kept, as long as that takes no more than a second; then it is given up.
                """),
        Hook(
            name: "envoy_on_request", type: "(handle: Handle)", doc: "Envoy's name of `on_request`.", isEnvoys: true),
        Hook(
            name: "envoy_on_response", type: "(handle: Handle)", doc: "Envoy's name of `on_response`.",
            isEnvoys: true),
    ]
}
