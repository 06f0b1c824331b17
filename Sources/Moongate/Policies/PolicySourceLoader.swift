/// Where policies get their files from: while a generation is made, its snapshot of the file system.
struct PolicySourceLoader {
    /// The contents of a file by its absolute path.
    ///
    /// - Throws: why it cannot be read.
    var read: (_ path: String, _ use: FileUse) throws -> [UInt8]
    /// Whether something is there.
    var exists: (_ path: String) -> Bool

    init(
        read: @escaping (_ path: String, _ use: FileUse) throws -> [UInt8], exists: @escaping (_ path: String) -> Bool
    ) {
        self.read = read
        self.exists = exists
    }
}

/// Everything that making a unit's first engine asked of the file system. Later engines of the unit are made from it, so that
/// all workers run the same.
final class PolicyFileRecord {
    enum Answer: Equatable {
        case present
        case absent
        /// With what it was asked for first.
        case contents([UInt8], as: FileUse)
        /// With the reason.
        case unreadable(PolicyFileFault, as: FileUse)
    }
    private(set) var answers: [String: Answer]
    /// The lists that were made of files: those of a unit belong to all of its engines.
    private(set) var lists: [SharedListKey: any SharedList]
    /// `nil`: only what is recorded already.
    private let loader: PolicySourceLoader?
    /// The units in force, whose lists go on where their files have not changed.
    private let previous: [PolicyUnit]

    init(_ loader: PolicySourceLoader, previous: [PolicyUnit] = []) {
        self.loader = loader
        self.previous = previous
        answers = [:]
        lists = [:]
    }

    /// Gives what was recorded when the unit was loaded first, and nothing else.
    init(replaying unit: PolicyUnit) {
        loader = nil
        previous = []
        answers = unit.findings.answers
        lists = unit.findings.lists
    }

    func exists(_ path: String) -> Bool {
        switch answers[path] {
        case .absent: return false
        case .present, .contents, .unreadable: return true
        case nil:
            let isThere = loader?.exists(path) ?? false
            answers[path] = isThere ? .present : .absent
            return isThere
        }
    }

    func read(_ path: String, as use: FileUse) throws(PolicyFileFault) -> [UInt8] {
        switch answers[path] {
        case .contents(let bytes, let known):
            // The snapshot learns of every use.
            if known != use, let loader { _ = try? loader.read(path, use) }
            return bytes
        case .unreadable(let fault, _): throw fault
        case .present, .absent, nil: break
        }
        guard let loader else { throw PolicyFileFault("was not read when the policies were loaded") }
        do {
            let bytes = try loader.read(path, use)
            answers[path] = .contents(bytes, as: use)
            return bytes
        } catch {
            let fault = PolicyFileFault(error)
            answers[path] = .unreadable(fault, as: use)
            throw fault
        }
    }

    /// The list that a file holds: made once for a generation, and not again as long as the file stays what it is.
    ///
    /// - Parameter make: from the file's contents; throws everything that is wrong with them.
    /// - Throws: `PolicyFileFault`, and what `make` throws.
    func list<List: SharedList>(_ key: SharedListKey, make: (_ bytes: [UInt8]) throws -> List) throws -> List {
        if let known = lists[key] as? List { return known }
        let bytes = try read(key.path, as: .policyData)
        for unit in previous where unit.findings.answers[key.path] == .contents(bytes, as: .policyData) {
            guard let known = unit.findings.lists[key] as? List else { continue }
            lists[key] = known
            return known
        }
        let list = try make(bytes)
        lists[key] = list
        return list
    }

    /// Whether `loader` would give the same answers today.
    static func isUnchanged(_ answers: [String: Answer], _ loader: PolicySourceLoader) -> Bool {
        answers.allSatisfy { path, answer in
            switch answer {
            case .present: loader.exists(path)
            case .absent: !loader.exists(path)
            case .contents(let bytes, let use): (try? loader.read(path, use)) == bytes
            case .unreadable(_, let use): (try? loader.read(path, use)) == nil
            }
        }
    }
}

/// Why a file of a policy could not be read.
struct PolicyFileFault: Error, Equatable, CustomStringConvertible {
    let message: String
    /// The path is that of a file that is there.
    private let isOfFile: Bool

    init(_ message: String) {
        self.message = message
        isOfFile = false
    }

    init(_ error: any Error) {
        message = "\(error)"
        if case .system? = error as? FileFault { isOfFile = false } else { isOfFile = error is FileFault }
    }

    var description: String { message }

    /// The message without the path of a file that cannot be opened: such a path may be anything, where a script or a secret's
    /// setting names it.
    func message(hiding path: String) -> String { isOfFile ? message : message.replacing(path, with: "the file") }
}
