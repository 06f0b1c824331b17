/// What `/metrics` shows of the workers' loops.
extension MetricsRegistry {
    func writeWorkers(to text: inout PrometheusText) {
        text.family("moongate_worker_loop_turns_total", .counter, "Wake-ups of the event loop.")
        for worker in 0..<workers {
            text.sample([("worker", String(worker))], self.worker(worker).loopTurns.value)
        }
        text.family(
            "moongate_worker_stalls_total", .counter, "Times that a worker was stuck in one turn for `watchdog.stall`.")
        for index in 0..<workers { text.sample([("worker", String(index))], worker(index).stalls.value) }
        text.family("moongate_worker_stalled", .gauge, "1: the worker is stuck, and gets no connections.")
        for index in 0..<workers { text.gauge([("worker", String(index))], worker(index).isStalled.value) }
    }
}
