/// The metrics of reloads: how they went, and what serves.
extension MetricsRegistry {
    func writeReloads(to text: inout PrometheusText) {
        let values = process.values
        text.family("moongate_reloads_total", .counter, "Reloads since the start, by how they ended.")
        text.sample([("result", "success")], values.reloadSuccesses)
        text.sample([("result", "failure")], values.reloadFailures)
        text.sample([("result", "unchanged")], values.reloadsUnchanged)
        text.family("moongate_last_reload_failed", .gauge, "1 when the newest files on disk are not the ones served.")
        text.sample(values.lastReloadFailed ? 1 as UInt64 : 0)
        text.family(
            "moongate_stale_lists", .gauge,
            "Lists that serve although their files say something else, since the reload was refused.")
        for kind in SharedListKind.allCases where kind.decidesWhoGetsIn {
            text.sample([("list", kind.rawValue)], UInt64(process.staleLists(of: kind)))
        }
        text.family(
            "moongate_generation_timestamp_seconds", .gauge, "When the serving generation was put into force.")
        text.sample(UInt64(max(0, values.lastSuccess)))
        text.family("moongate_generation", .gauge, "Number of the serving generation.")
        text.sample(values.generation)
    }
}
