import MoongateConfig

/// What a reload may not change, and what policies hear of one that was refused.
extension Server {
    /// Notes with each policy what a refused reload says about it.
    func noteFailure(_ fault: any Error) {
        guard let faults = fault as? DiagnosticList else { return }
        for unit in generation.program.units { for instance in unit.instances { note(faults, instance, unit) } }
    }

    private func note(_ faults: DiagnosticList, _ instance: PolicyUnit.Instance, _ unit: PolicyUnit) {
        let own = faults.diagnostics.filter { diagnostic in
            diagnostic.location.file == unit.file.path || diagnostic.message.hasPrefix("policy \(instance.name)")
        }
        guard !own.isEmpty else { return }
        instance.stats.reloadFailed(own.map(\.description).joined(separator: "\n"))
        registry.policies.entry(instance.name).block.row(0)[PolicyCells.Column.reloadFailures].add()
    }

    func checkProcess(_ config: Configuration) throws {
        guard config.process ?? ProcessConfig() != generation.config.process ?? ProcessConfig() else { return }
        throw DiagnosticList([
            Diagnostic(
                location: SourceLocation(file: path.text, line: 0, column: 0),
                message: "process cannot change while the edge runs", hint: "restart to change it")
        ])
    }

    func checkWorkers(_ config: Configuration) throws {
        let wanted = config.workers ?? ServerPlan.cores()
        guard wanted != registry.workers else { return }
        throw DiagnosticList([
            Diagnostic(
                location: SourceLocation(file: path.text, line: 0, column: 0),
                message: "workers cannot change from \(registry.workers) to \(wanted) while the edge runs",
                hint: "restart to change the number of workers")
        ])
    }
}
