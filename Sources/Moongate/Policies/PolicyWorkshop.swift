import MoongateConfig
import MoongateLua

/// A thread that makes script engines and closes them, so that no worker has to wait for that: compiling the policies
/// takes milliseconds, and so does freeing some ten megabytes of small blocks.
final class PolicyWorkshop: Sendable {
    private let pool: BackgroundPool

    /// - Throws: `SystemError` when the system refuses a thread.
    init() throws { pool = try BackgroundPool(name: "mg-policy", threads: 1, queueLimit: 1024) }

    /// What became of an order.
    typealias Outcome = Result<Handover<PolicyEngine>, DiagnosticList>

    /// Makes an engine of `unit` as it was loaded first, and calls `done` on the workshop's thread. False: there are
    /// too many orders.
    func make(
        _ unit: PolicyUnit, services: PolicyServices, _ done: @escaping @Sendable (Outcome) -> Void
    ) -> Bool {
        let parts = Handover(services)
        return pool.submit {
            guard let services = parts.take() else { return }
            done(PolicyWorkshop.outcome(unit, services))
        }
    }

    /// What comes of making an engine on this thread.
    static func outcome(_ unit: PolicyUnit, _ services: PolicyServices) -> Outcome {
        do throws(DiagnosticList) {
            return .success(Handover(try PolicyEngine(unit, services: services)))
        } catch {
            return .failure(error)
        }
    }

    /// Has `vm` closed here once nobody uses it.
    func closes(_ vm: LuaVM) {
        let pool = pool
        vm.closer = { close in
            // A full or stopped queue: then whoever gives the VM up has to wait.
            if !pool.submit(close) { close() }
        }
    }

    /// Waits until `deadline` at most.
    /// - Returns: whether its thread has ended.
    func stop(by deadline: Instant) -> Bool { pool.stop(by: deadline) }
}
