/// A worker with its thread, as the rest of the process sees it.
final class WorkerThread: Sendable {
    private let worker: LoopBound<Worker>
    private let mailbox: Mailbox
    private let thread: OSThread

    /// Starts the worker.
    /// - Throws: when the system has no descriptors or threads left.
    init(_ plan: WorkerPlan) throws {
        let loop = try EventLoop(copies: plan.registry.copies)
        let worker = try Worker(plan, loop: loop)
        self.worker = LoopBound(worker)
        mailbox = loop.mailbox
        let handover = Handover(worker)
        thread = try OSThread.start(name: "worker-\(plan.index)", stackSize: 8 << 20) {
            guard let worker = handover.take() else { return }
            worker.loop.run()
            withExtendedLifetime(worker) {}
        }
    }

    /// Runs `work` on the worker's thread.
    func post(_ work: @escaping @Sendable (Worker) -> Void) {
        let worker = worker
        mailbox.post { if let worker = worker.value { work(worker) } }
    }

    /// Has the worker's loop end after its turn.
    func stop() { post { $0.loop.stop() } }

    /// Whether the worker's loop has ended, at the latest at `deadline`.
    func join(until deadline: Instant) -> Bool { thread.join(until: deadline) }
}
