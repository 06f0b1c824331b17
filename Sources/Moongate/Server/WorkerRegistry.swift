/// Reaches the workers by number, also for those who are made before them.
final class WorkerRegistry: Sendable {
    private let workers = Locked<[WorkerThread]>([])

    func set(_ list: [WorkerThread]) { workers.withLock { $0 = list } }

    /// Ends streams that hold about `bytes` in all.
    func shed(_ bytes: UInt64) {
        let workers = workers.withLock { $0 }
        for worker in workers { worker.post { $0.shed(bytes / UInt64(max(1, workers.count))) } }
    }

    /// Ends all copies that requests can do without.
    func dropCopies() {
        for worker in workers.withLock({ $0 }) { worker.post { $0.dropCopies() } }
    }

    func deliver(_ connection: AcceptedConnection, to index: Int) {
        let worker = workers.withLock { $0.indices.contains(index) ? $0[index] : nil }
        guard let worker else { return Socket.close(connection.descriptor) }
        worker.deliver(connection)
    }
}
