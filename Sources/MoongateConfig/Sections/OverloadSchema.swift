extension ValueType<OverloadConfig> {
    static var overload: ValueType {
        .mapping(
            MappingSchema(
                name: "overload",
                summary: "When the process sheds load, and in which order, see [Reliability](reliability.md#overload).",
                initial: OverloadConfig(),
                fields: [
                    Field("memory", \.memory, .memoryOverload, "As the memory of the process comes near its limit."),
                    Field("descriptors", \.descriptors, .descriptorOverload, "As open files come near their limit."),
                ]))
    }
}

extension ValueType<MemoryOverloadConfig> {
    fileprivate static var memoryOverload: ValueType {
        let schema = MappingSchema(
            name: "overload memory",
            summary: "What happens as resident memory comes near its limit; each step ends 3 points below where it"
                + " began.",
            initial: MemoryOverloadConfig(),
            fields: [
                Field(
                    "limit", \.limit, .size(32 << 20...1 << 50), absent: "the limit of the container",
                    "The memory that the process may use. Without it and without a limit of the container (control group)"
                        + " memory is not watched."),
                Field(
                    "refuse_streams", \.refuseStreams, .integer(1...100),
                    "Percent of the limit from which on new requests are answered with `UNAVAILABLE` or 503."),
                Field(
                    "refuse_connections", \.refuseConnections, .integer(1...100),
                    "Percent of the limit from which on new connections are closed at once, too."),
                Field(
                    "reset_streams", \.resetStreams, .integer(1...100),
                    "Percent of the limit from which on the streams that hold most memory end with `UNAVAILABLE`, too."),
            ])
        return .mapping(schema) { memory, mapping, decoding in
            let marks = [
                ("refuse_streams", memory.refuseStreams), ("refuse_connections", memory.refuseConnections),
                ("reset_streams", memory.resetStreams),
            ]
            for (earlier, later) in zip(marks, marks.dropFirst()) where later.1 < earlier.1 {
                decoding.report(
                    mapping.location(of: mapping.has(later.0) ? later.0 : earlier.0),
                    "\(quoted(later.0)) (\(later.1)) lies below \(quoted(earlier.0)) (\(earlier.1))",
                    hint: "load is shed in this order: streams, connections, running streams")
                return nil
            }
            return memory
        }
    }
}

extension ValueType<DescriptorOverloadConfig> {
    fileprivate static var descriptorOverload: ValueType {
        .mapping(
            MappingSchema(
                name: "overload descriptors",
                summary: "What happens as open files come near the limit of the process (`ulimit -n`).",
                initial: DescriptorOverloadConfig(),
                fields: [
                    Field(
                        "refuse_connections", \.refuseConnections, .integer(1...100),
                        "Percent of the limit from which on new connections are closed at once. The rest is for"
                            + " connections to upstreams and for files.")
                ]))
    }
}
