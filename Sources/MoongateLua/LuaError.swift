import CMoongate

/// Why a script could not be loaded or did not come to its end.
public struct LuaError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Reason: String, Sendable, CaseIterable {
        /// Raised by the script or by a function it called.
        case runtime
        /// Over the CPU time of one run.
        case time
        /// Over the VM's memory.
        case memory
        /// Not Lua.
        case syntax
        /// It yielded for nothing.
        case misuse
    }
    public var reason: Reason
    /// Starts with `file:line:` where Lua knows it.
    public var message: String
    /// Innermost call first; empty where there is none.
    public var traceback: String

    public init(reason: Reason, message: String, traceback: String = "") {
        self.reason = reason
        self.message = message
        self.traceback = traceback
    }

    init(_ failure: mg_failure) {
        switch failure.reason {
        case MG_REASON_TIME: reason = .time
        case MG_REASON_MEMORY: reason = .memory
        case MG_REASON_SYNTAX: reason = .syntax
        case MG_REASON_MISUSE: reason = .misuse
        default: reason = .runtime
        }
        message = String(cString: failure.message)
        traceback = String(cString: failure.traceback)
    }

    static let outOfMemory = LuaError(reason: .memory, message: "not enough memory")

    public var description: String { traceback.isEmpty ? message : "\(message)\n\(traceback)" }

    /// The line that `message` names in `file`; 0 if it names none.
    public func line(in file: String) -> Int {
        guard message.hasPrefix(file + ":") else { return 0 }
        return Int(message.dropFirst(file.count + 1).prefix { $0.isNumber }) ?? 0
    }
}
