import MoongateConfig

/// Makes the script engines of several workers, on as many threads as there are cores: policies that take long to load do so beside each
/// other.
enum WorkerEngines {
    /// In the order of the workers, each worker's in the order of `units`.
    ///
    /// - Throws: what is wrong with the first worker that has a fault.
    static func make(
        _ units: [PolicyUnit], workers: Range<Int>, services: (_ worker: Int) -> PolicyServices
    ) throws(DiagnosticList) -> [[PolicyEngine]] {
        let orders = Locked(
            workers.reversed().flatMap { worker in
                units.reversed().map { Order(worker: worker, unit: $0, services: Handover(services(worker))) }
            })
        let made = Locked<[Key: PolicyWorkshop.Outcome]>([:])
        let work: @Sendable () -> Void = {
            while let order = orders.withLock({ $0.popLast() }), let services = order.services.take() {
                let outcome = PolicyWorkshop.outcome(order.unit, services)
                made.withLock { $0[Key(worker: order.worker, unit: ObjectIdentifier(order.unit))] = outcome }
            }
        }
        // If the system has no thread to spare, this one does more.
        let helpers = (1..<max(1, min(ServerPlan.cores(), workers.count * units.count))).compactMap { _ in
            try? OSThread.start(name: "mg-load", stackSize: 8 << 20, body: work)
        }
        work()
        for helper in helpers { helper.join() }
        var engines: [[PolicyEngine]] = []
        for worker in workers {
            var mine: [PolicyEngine] = []
            for unit in units {
                let key = Key(worker: worker, unit: ObjectIdentifier(unit))
                guard let engine = try made.withLock({ $0[key] })?.get().take() else { continue }
                mine.append(engine)
            }
            engines.append(mine)
        }
        return engines
    }

    private struct Key: Hashable {
        let worker: Int
        let unit: ObjectIdentifier
    }

    private struct Order: Sendable {
        let worker: Int
        let unit: PolicyUnit
        let services: Handover<PolicyServices>
    }
}
