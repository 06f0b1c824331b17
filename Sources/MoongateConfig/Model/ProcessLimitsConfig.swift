/// What the whole process may hold.
public struct ProcessLimitsConfig: Sendable, Equatable {
    /// Bytes of all copies that requests under way can do without.
    public var copyBuffer: Int

    public init(copyBuffer: Int = 32 << 20) { self.copyBuffer = copyBuffer }
}
