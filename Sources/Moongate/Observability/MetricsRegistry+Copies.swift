extension MetricsRegistry {
    /// What copies hold that requests can do without.
    func writeCopies(to text: inout PrometheusText) {
        text.family(
            "moongate_copy_buffer_bytes", .gauge, "Bytes of copies, by use; with small reserves of the workers.")
        for use in MemoryUse.allCases { text.sample([("use", use.label)], UInt64(clamping: copies.used(use))) }
        text.family("moongate_copy_buffer_limit_bytes", .gauge, "What all copies together may hold.")
        text.sample(UInt64(clamping: copies.limit))
        text.family(
            "moongate_copy_buffer_refused_total", .counter, "Times that something was done without, by use.")
        for use in MemoryUse.allCases { text.sample([("use", use.label)], copies.refusals(use)) }
    }
}
