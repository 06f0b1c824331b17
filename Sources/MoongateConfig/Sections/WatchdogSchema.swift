extension ValueType<WatchdogConfig> {
    static var watchdog: ValueType {
        .mapping(
            MappingSchema(
                name: "watchdog",
                summary:
                    "What happens when a worker hangs in one turn of its loop, see"
                    + " [Reliability](reliability.md#a-worker-that-hangs). Times are those that its thread has run or was"
                    + " blocked within the turn; it is looked at twice a second.",
                initial: WatchdogConfig(),
                fields: [
                    Field(
                        "stall", \.stall, .duration(.seconds(1) ... .seconds(3600)),
                        "How long a turn may take. Then the log and the metrics say so, and other workers get the new"
                            + " connections; when all workers hang, `/ready` fails."),
                    Field(
                        "live", \.live, .duration(.seconds(1) ... .seconds(86400)),
                        "How long the turn of a single worker may take until `/live` fails, so that whoever asks it"
                            + " restarts the process. Not below `stall`."),
                    Field(
                        "abort", \.abort, .duration(.seconds(1) ... .seconds(86400)), absent: "the process goes on",
                        "How long a turn may take until the process ends by SIGABRT, where nobody asks `/live`. Not below"
                            + " `stall`."),
                ])
        ) { watchdog, mapping, decoding in
            for (key, value) in [("live", watchdog.live), ("abort", watchdog.abort ?? watchdog.stall)]
            where value < watchdog.stall {
                decoding.report(
                    mapping.location(of: mapping.has(key) ? key : "stall"),
                    "\(quoted(key)) (\(DurationSyntax.write(value))) lies below \(quoted("stall")) (\(DurationSyntax.write(watchdog.stall)))",
                    hint: "a worker has to be stalled before anything else follows from it")
            }
            return watchdog
        }
    }
}
