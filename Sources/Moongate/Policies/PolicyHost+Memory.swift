import Logging
import MoongateLua

/// Memory by policy: each file has an account, whoever uses it.
extension PolicyHost {
    /// What a file's runs hold. On the host's thread.
    func memory(ofFile index: Int) -> LuaVM.MemoryUse { vm.memory(of: accounts[index]) }

    /// After a run that failed for want of memory: tells of every policy that went over its limit. None of them runs
    /// again in this VM; that the VM is replaced is up to the worker.
    func settleMemory() {
        while let account = vm.takeSpentAccount() {
            guard let file = accounts.firstIndex(of: account) else { continue }
            let index = program.instances.firstIndex { $0.file == file } ?? 0
            instances[index].cells.countMemoryExceeded()
            let use = vm.memory(of: account)
            services.logger.error(
                "a policy wants more memory than it may hold, and fails until it has a new script engine",
                metadata: [
                    "policy": "\(program.instances[index].name)", "worker": "\(services.worker)",
                    "limit": "\(use.limit)", "held": "\(use.held)",
                ])
            exceeded?(file)
        }
    }
}
