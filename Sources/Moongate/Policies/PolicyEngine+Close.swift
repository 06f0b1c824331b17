/// The end of an engine whose policy has served.
extension PolicyEngine {
    /// Calls the policy's `on_close`. On the thread that owns the VM, which lasts until the hooks have ended.
    ///
    /// - Parameters:
    ///   - time: nanoseconds that hooks may wait.
    ///   - whenDone: called when the last one has ended or was given up, perhaps at once.
    func close(within time: UInt64 = PolicyClosing.limit, _ whenDone: @escaping () -> Void = {}) {
        retire()
        // No exchange needs a new engine in the place of this one.
        exceeded = nil
        let closing = PolicyClosing(self, within: time, whenDone)
        self.closing = closing
        closing.begin()
    }
}
