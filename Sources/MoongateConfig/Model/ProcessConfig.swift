/// What the process may do itself, once it serves.
public struct ProcessConfig: Sendable, Equatable {
    /// Which system calls it may still make (seccomp).
    public enum Sandbox: String, Sendable, Equatable, CaseIterable {
        /// All.
        case off
        /// None that an edge never needs. Programs can be started, for SIGUSR2.
        case standard
        /// As `standard`, and no program can be started: SIGUSR2 is refused.
        case strict
    }
    public var sandbox: Sandbox
    /// Programs that it starts may get more rights than it has: `PR_SET_NO_NEW_PRIVS` is not set.
    public var allowNewPrivileges: Bool
    /// A crash may leave a file with the process's memory, keys included.
    public var coreDumps: Bool

    public init(sandbox: Sandbox = .standard, allowNewPrivileges: Bool = false, coreDumps: Bool = false) {
        self.sandbox = sandbox
        self.allowNewPrivileges = allowNewPrivileges
        self.coreDumps = coreDumps
    }
}
