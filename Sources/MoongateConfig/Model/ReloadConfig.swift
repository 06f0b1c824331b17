/// What becomes of streams that still run with policies which a reload has replaced.
public struct ReloadConfig: Sendable, Equatable {
    public enum WhenExceeded: String, Sendable, Equatable, CaseIterable {
        /// They go on, and the log says so.
        case finish
        /// They end with `UNAVAILABLE`.
        case reset
    }
    /// Script engines that one worker may keep for streams of earlier generations.
    public var maxGenerations: Int
    /// How long a script engine may stay after it was replaced. Zero: as long as there are streams.
    public var maxAge: Duration
    public var whenExceeded: WhenExceeded
    public init(maxGenerations: Int = 8, maxAge: Duration = .zero, whenExceeded: WhenExceeded = .finish) {
        self.maxGenerations = maxGenerations
        self.maxAge = maxAge
        self.whenExceeded = whenExceeded
    }
}
