/// When the process sheds load, and what it sheds first.
public struct OverloadConfig: Sendable, Equatable {
    public var memory: MemoryOverloadConfig
    public var descriptors: DescriptorOverloadConfig

    public init(memory: MemoryOverloadConfig = .init(), descriptors: DescriptorOverloadConfig = .init()) {
        self.memory = memory
        self.descriptors = descriptors
    }
}

/// What happens as the resident memory of the process comes near its limit. The marks are percentages of it, and do not fall
/// from one step to the next.
public struct MemoryOverloadConfig: Sendable, Equatable {
    /// Bytes; `nil`: the memory limit of the control group that the process is in, if there is one.
    public var limit: Int?
    /// New requests are answered with `UNAVAILABLE`.
    public var refuseStreams: Int
    /// New connections are closed at once, too.
    public var refuseConnections: Int
    /// Streams end that hold most of the memory, too.
    public var resetStreams: Int

    public init(limit: Int? = nil, refuseStreams: Int = 85, refuseConnections: Int = 90, resetStreams: Int = 95) {
        self.limit = limit
        self.refuseStreams = refuseStreams
        self.refuseConnections = refuseConnections
        self.resetStreams = resetStreams
    }
}

/// What happens as the process runs out of file descriptors.
public struct DescriptorOverloadConfig: Sendable, Equatable {
    /// Percent of the process's limit of open files, from which on new connections are closed at once: the rest is for
    /// upstreams and files.
    public var refuseConnections: Int

    public init(refuseConnections: Int = 90) { self.refuseConnections = refuseConnections }
}
