import Glibc

/// The process's limit of open files: each connection takes one.
enum FileLimit {
    /// The limit in force now; 0 if the system does not say.
    static func soft() -> UInt64 { limits().map { UInt64($0.rlim_cur) } ?? 0 }

    /// Raises the soft limit to the hard one.
    ///
    /// - Returns: the limit now in force.
    /// - Throws: `SystemError` when the system refuses; the old limit then stays.
    @discardableResult
    static func raise() throws(SystemError) -> UInt64 {
        guard var limits = limits() else { throw SystemError("getrlimit") }
        if limits.rlim_cur < limits.rlim_max {
            limits.rlim_cur = limits.rlim_max
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 else {
                throw SystemError("setrlimit")
            }
        }
        return UInt64(limits.rlim_cur)
    }

    private static func limits() -> rlimit? {
        var limits = rlimit()
        return getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 ? limits : nil
    }
}
