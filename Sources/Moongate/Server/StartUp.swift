import Glibc

/// The first generation is made on a thread of its own, so that a signal can end the process meanwhile: policies may take
/// their time to load.
enum StartUp {
    /// A signal to end came first. The thread is left behind: whoever catches this leaves the process without an end.
    struct Interrupted: Error {}

    private final class Job<Value> {
        let work: () throws -> Value
        var result: Result<Value, any Error>?
        init(_ work: @escaping () throws -> Value) { self.work = work }
    }

    /// The result of `work`. Signals that mean something else than the end are put back.
    static func run<Value>(_ signals: ProcessSignals, _ work: @escaping () throws -> Value) throws -> Value {
        let bell = try Waker()
        let job = Job(work)
        // The calling thread does not touch the job before the other one has ended.
        let handover = Handover(job)
        let thread = try OSThread.start(name: "mg-load", stackSize: 8 << 20) {
            if let job = handover.take() { job.result = Result { try job.work() } }
            bell.ring()
        }
        var others: [ProcessSignals.Signal] = []
        while true {
            var waits = [bell.file, signals.file].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            poll(&waits, nfds_t(waits.count), -1)
            while let signal = signals.next() {
                if signal == .terminate || signal == .interrupt { throw Interrupted() }
                others.append(signal)
            }
            guard waits[0].revents != 0 else { continue }
            thread.join()
            for signal in others { signals.putBack(signal) }
            return try (job.result ?? .failure(SystemError("load", code: ECANCELED))).get()
        }
    }
}
