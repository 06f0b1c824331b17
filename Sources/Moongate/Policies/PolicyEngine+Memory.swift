import MoongateLua

/// The engine's memory, which is its policy's alone.
extension PolicyEngine {
    /// Whether a run may begin here.
    @inline(__always) func admits(_ run: PolicyRun) -> Bool {
        vm.memoryInUse <= memory.threshold || admitsWhenShort(run)
    }

    @inline(never) private func admitsWhenShort(_ run: PolicyRun) -> Bool {
        switch memory.decide(vm, client: run.clientShare, now: Clock.now()) {
        case .begins: return true
        case .refused: return false
        case .spent:
            askForReplacement()
            return false
        }
    }

    /// After a run that failed for want of memory.
    func reviewMemory() {
        if memory.isSpent(vm, now: Clock.now()) { askForReplacement() }
    }

    private func askForReplacement() {
        guard !isSpent else { return }
        isSpent = true
        instances[0].cells.countMemoryExceeded()
        let use = vm.memory
        services.logger.error(
            "a policy holds more memory than leaves room for its runs, and gets a new script engine",
            metadata: [
                "policy": "\(unit.instances[0].name)", "worker": "\(services.worker)", "limit": "\(use.limit)",
                "held": "\(use.held)",
            ])
        exceeded?()
    }
}
