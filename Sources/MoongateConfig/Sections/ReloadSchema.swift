extension ValueType<ReloadConfig> {
    static var reload: ValueType {
        .mapping(
            MappingSchema(
                name: "reload",
                summary:
                    "A stream keeps the policies it began with, so endless streams keep old script engines alive. This"
                    + " limits how many, and for how long.",
                initial: ReloadConfig(),
                fields: [
                    Field(
                        "max_generations", \.maxGenerations, .integer(1...1000),
                        "Old script engines that a worker may keep."),
                    Field(
                        "max_age", \.maxAge, .duration(.zero ... .seconds(2_592_000)),
                        "How long an old script engine may stay after it was replaced; `0s`: as long as it has streams."
                    ),
                    Field(
                        "when_exceeded", \.whenExceeded, .choice(),
                        "What happens to the streams of the oldest ones beyond: `finish` lets them go on and logs a"
                            + " warning, `reset` ends them with `UNAVAILABLE`, upon which clients call again."),
                ]))
    }
}
