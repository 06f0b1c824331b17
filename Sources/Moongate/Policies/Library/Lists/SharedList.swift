import MoongateConfig

/// A list that is read from a file once for a generation and asked by every worker. Immutable.
protocol SharedList: AnyObject, Sendable {
    static var kind: SharedListKind { get }
    /// Its entries.
    var count: Int { get }
}

/// The uses of lists.
enum SharedListKind: String, Sendable, CaseIterable {
    case users, keys, networks, lines

    /// Whether an entry that is removed from the file, or added to it, decides who gets in.
    var decidesWhoGetsIn: Bool { self != .lines }
}

/// Names a list of a generation: the same file may be read in several forms.
struct SharedListKey: Hashable, Sendable {
    var kind: SharedListKind
    /// Absolute.
    var path: String
    /// The form of the entries; empty: there is one form only.
    var form = ""
}

/// Gathers what is wrong with the entries of a list.
struct SharedListFaults {
    /// More would not be read.
    private static let most = 20
    private var diagnostics: [Diagnostic] = []
    private var left = 0

    /// A list that lets everybody in when it is empty must not become so by a file that was emptied by mistake.
    static func checkPresence(_ bytes: [UInt8], _ path: String, of what: String) throws(DiagnosticList) {
        guard bytes.isEmpty else { return }
        throw DiagnosticList([
            Diagnostic(
                location: SourceLocation(file: path, line: 0, column: 0), message: "the file is empty",
                hint: "a comment (# no \(what)) says that this is meant")
        ])
    }

    mutating func add(_ location: SourceLocation, _ message: String, hint: String? = nil) {
        guard diagnostics.count < SharedListFaults.most else {
            left += 1
            return
        }
        diagnostics.append(Diagnostic(location: location, message: message, hint: hint))
    }

    /// - Throws: all of them, if there is one.
    func check() throws(DiagnosticList) {
        guard var last = diagnostics.last else { return }
        if left > 0 { last.message += " (and \(left) more faults)" }
        throw DiagnosticList(diagnostics.dropLast() + [last])
    }
}

/// Sets of methods of many entries, each of which is kept once.
struct MethodPool {
    private(set) var sets: [MethodSet] = []
    private var known: [[String]: UInt32] = [:]

    /// The place of the set of these patterns.
    /// - Throws: the first pattern that is none.
    mutating func place(of patterns: [String]) throws(MethodFault) -> UInt32 {
        if let place = known[patterns] { return place }
        sets.append(try MethodSet(patterns))
        let place = UInt32(sets.count - 1)
        known[patterns] = place
        return place
    }
}

extension SettingValue {
    /// The elements of a list; an empty table is an empty list. `nil`: it is none.
    var elements: [SettingValue]? {
        switch self {
        case .list(let values): values
        case .table(let entries) where entries.isEmpty: []
        default: nil
        }
    }

    /// Nothing, or a value that says as much.
    static func isMissing(_ value: SettingValue?) -> Bool { value == nil || value == .null }
}
