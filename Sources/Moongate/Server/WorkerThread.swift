/// A worker with its thread, as the rest of the process sees it.
final class WorkerThread: Sendable {
    /// What can be seen of it without its help.
    let activity: ThreadActivity
    private let worker: LoopBound<Worker>
    private let mailbox: Mailbox
    private let thread: OSThread
    /// Connections that the worker has not taken yet. Not part of what is posted, so that a worker that hangs can be relieved
    /// of them.
    private let handedOver = Locked<[AcceptedConnection]>([])

    /// Starts the worker.
    /// - Throws: when the system has no descriptors or threads left.
    init(_ plan: WorkerPlan) throws {
        let loop = try EventLoop(copies: plan.registry.copies)
        let worker = try Worker(plan, loop: loop)
        let activity = ThreadActivity()
        self.worker = LoopBound(worker)
        self.activity = activity
        mailbox = loop.mailbox
        let handover = Handover(worker)
        thread = try OSThread.start(name: "worker-\(plan.index)", stackSize: 8 << 20) {
            guard let worker = handover.take() else { return }
            activity.begin(worker.loop)
            worker.loop.run()
            activity.end()
            withExtendedLifetime(worker) {}
        }
    }

    /// Runs `work` on the worker's thread.
    func post(_ work: @escaping @Sendable (Worker) -> Void) {
        let worker = worker
        mailbox.post { if let worker = worker.value { work(worker) } }
    }

    /// Gives the worker a connection. Work that is posted later finds it taken.
    func deliver(_ connection: AcceptedConnection) {
        let isFirst = handedOver.withLock { list in
            list.append(connection)
            return list.count == 1
        }
        guard isFirst else { return }
        post { [handedOver] worker in
            for connection in WorkerThread.takeAll(handedOver) { worker.accept(connection) }
        }
    }

    /// Connections that the worker has not taken; it will not hear of them.
    func takeBack() -> [AcceptedConnection] { WorkerThread.takeAll(handedOver) }

    private static func takeAll(_ list: Locked<[AcceptedConnection]>) -> [AcceptedConnection] {
        list.withLock { list in
            let taken = list
            list = []
            return taken
        }
    }

    /// Has the worker's loop end, at the latest when policies have had their time.
    /// - Parameter time: nanoseconds.
    func stop(within time: UInt64) { post { $0.finish(within: time) } }

    /// Whether the worker's loop has ended, at the latest at `deadline`.
    func join(until deadline: Instant) -> Bool { thread.join(until: deadline) }
}
