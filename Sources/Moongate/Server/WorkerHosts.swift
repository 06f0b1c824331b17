import MoongateConfig

/// Makes the script engines of several workers, on as many threads as there are cores: policies that take long to load do so
/// for all workers at a time.
///
/// All policies of a worker are in one engine, so they load one after the other.
enum WorkerHosts {
    /// In the order of the workers.
    ///
    /// - Throws: what is wrong with the first worker that has a fault.
    static func make(
        _ program: PolicyProgram, workers: Range<Int>, services: (_ worker: Int) -> PolicyServices
    ) throws(DiagnosticList) -> [Handover<PolicyHost>] {
        let orders = Locked(workers.map { Order(worker: $0, services: Handover(services($0))) })
        let made = Locked<[Int: PolicyWorkshop.Outcome]>([:])
        let work: @Sendable () -> Void = {
            while let order = orders.withLock({ $0.popLast() }), let services = order.services.take() {
                let outcome = outcome(program, services)
                made.withLock { $0[order.worker] = outcome }
            }
        }
        // If the system has no thread to spare, this one does more.
        let helpers = (1..<max(1, min(ServerPlan.cores(), workers.count))).compactMap { _ in
            try? OSThread.start(name: "mg-load", stackSize: 8 << 20, body: work)
        }
        work()
        for helper in helpers { helper.join() }
        var hosts: [Handover<PolicyHost>] = []
        for worker in workers {
            guard let outcome = made.withLock({ $0[worker] }) else { continue }
            hosts.append(try outcome.get())
        }
        return hosts
    }

    private struct Order: Sendable {
        let worker: Int
        let services: Handover<PolicyServices>
    }

    private static func outcome(_ program: PolicyProgram, _ services: PolicyServices) -> PolicyWorkshop.Outcome {
        do throws(DiagnosticList) {
            return .success(Handover(try PolicyHost(program, services: services)))
        } catch {
            return .failure(error)
        }
    }
}
