/// What came of one test.
public struct SpecResult: Sendable {
    public enum Outcome: Sendable, Equatable {
        case passed
        case failed([String])
        case skipped
    }
    public var file: String
    /// Groups from the outside in, then the test's own name.
    public var names: [String]
    /// Where the test begins; 0: unknown.
    public var line: Int
    public var outcome: Outcome
    public var seconds: Double
    /// What policies logged meanwhile, with the tracebacks of their errors.
    public var log: [String]

    public var name: String { names.joined(separator: " › ") }
}

/// What came of all.
public struct SpecReport: Sendable {
    public var results: [SpecResult] = []
    /// What kept files from being run.
    public var faults: [String] = []
    /// `nil`: not asked for.
    public var coverage: [SpecCoverage]?

    public var passed: Int { results.count { $0.outcome == .passed } }
    public var skipped: Int { results.count { $0.outcome == .skipped } }
    public var failed: Int { results.count - passed - skipped }
}

/// Which lines of a policy ran.
public struct SpecCoverage: Sendable {
    public var path: String
    public var lines: Int
    public var missed: [Int]
    public var hit: Int { lines - missed.count }
    /// 0 to 100.
    public var percent: Double { lines == 0 ? 100 : Double(hit) * 100 / Double(lines) }
}
