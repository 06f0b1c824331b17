import MoongateLua

/// The end of an engine whose policy has served.
extension PolicyEngine {
    /// Calls `on_close` of its instances, last one first. On the thread that owns the VM, before the engine is let go.
    func close() {
        retire()
        // No exchange needs a new engine in the place of this one.
        exceeded = nil
        for index in (0..<unit.instances.count).reversed() where instances[index].close != 0 { close(index) }
    }

    private func close(_ index: Int) {
        let instance = instances + index
        loading = Int32(index)
        defer { loading = -1 }
        instance.pointee.cells.countRun(.onClose)
        let began = instance.pointee.tally.begin(.onClose)
        let outcome = vm.start(
            LuaReference(raw: instance.pointee.close), argument: LuaReference(raw: instance.pointee.config))
        if began != 0 {
            instance.pointee.tally.end(.onClose, began: began, memory: vm.memoryInUse, instance.pointee.cells)
        }
        guard outcome != .finished else { return }
        log(vm.lastError, of: index, .onClose)
        instance.pointee.cells.countError(.onClose, PolicyErrorReason(vm.lastError.reason))
    }
}
