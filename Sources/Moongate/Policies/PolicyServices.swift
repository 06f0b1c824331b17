import Logging
import MoongateLua

/// What policies need from outside.
struct PolicyServices {
    /// For what scripts log, and for their errors.
    var logger: Logger
    /// `nil`: scripts cannot check passwords.
    var verifier: PasswordVerifier?
    /// Counts runs and errors by policy.
    var registry: MetricsRegistry
    /// The worker's index, in `registry`.
    var worker: Int
    /// Told the VM before anything is loaded into it; for test runners.
    var watch: ((LuaVM) -> Void)?
    /// Makes and closes script engines away from the workers; `nil`: nothing runs, so none is ever replaced.
    var workshop: PolicyWorkshop? = nil
}
