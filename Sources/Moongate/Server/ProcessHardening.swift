import CMoongate
import Glibc
import Logging
import MoongateConfig

/// Takes from the process what an edge never needs, as `process` in the configuration says. None of it can be taken back.
enum ProcessHardening {
    /// Once everything runs. On the control thread, which alone starts programs.
    ///
    /// - Throws: what `sandbox: strict` wants and the system does not give; `standard` is content with a warning.
    static func apply(_ config: ProcessConfig, _ log: Logger) throws(SystemError) {
        if !config.coreDumps { try refuseCoreDumps() }
        guard !config.allowNewPrivileges else { return }
        let fault = mg_refuse_new_privileges()
        guard fault == 0 else { throw SystemError("prctl(PR_SET_NO_NEW_PRIVS)", code: fault) }
        guard config.sandbox != .off else { return }
        let refusal = mg_refuse_system_calls(config.sandbox == .strict)
        guard refusal != 0 else { return }
        guard config.sandbox == .standard else { throw SystemError("seccomp", code: refusal) }
        log.warning(
            "no sandbox: the system has no seccomp filters", metadata: ["reason": "\(SystemError.text(of: refusal))"])
    }

    /// A limit of 1 byte keeps a file from being written, and also, other than 0, a program from being started that the
    /// kernel hands dumps to (core(5)).
    private static func refuseCoreDumps() throws(SystemError) {
        let resource = __rlimit_resource_t(RLIMIT_CORE.rawValue)
        var limits = rlimit()
        guard getrlimit(resource, &limits) == 0 else { throw SystemError("getrlimit") }
        limits.rlim_cur = min(1, limits.rlim_max)
        limits.rlim_max = limits.rlim_cur
        guard setrlimit(resource, &limits) == 0 else { throw SystemError("setrlimit") }
    }
}
