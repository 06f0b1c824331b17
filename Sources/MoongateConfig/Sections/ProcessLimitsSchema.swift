extension ValueType<ProcessLimitsConfig> {
    static var processLimits: ValueType {
        .mapping(
            MappingSchema(
                name: "process limits",
                summary: "What the whole process may hold. Listeners and upstreams have `limits` of their own.",
                initial: ProcessLimitsConfig(),
                fields: [
                    Field(
                        "copy_buffer", \.copyBuffer, .size(1 << 20...1 << 50),
                        "Bytes of all copies that requests can do without: for mirrors (at most half of it), for hedged"
                            + " attempts and retries, what connections that are ending have still to send (at most a"
                            + " quarter), and asynchronous calls of policies (an eighth). What has no room is left out, see [Reliability](reliability.md#copies)."
                    )
                ]))
    }
}
