/// Where policies get their files from: while a generation is made, its snapshot of the file system.
struct PolicySourceLoader {
    /// The contents of a file by its absolute path.
    ///
    /// - Throws: why it cannot be read.
    var read: (_ path: String) throws -> [UInt8]
    /// Whether something is there.
    var exists: (_ path: String) -> Bool

    init(read: @escaping (_ path: String) throws -> [UInt8], exists: @escaping (_ path: String) -> Bool) {
        self.read = read
        self.exists = exists
    }
}

/// Everything that making a program's first VM asked of the file system. Later VMs of the program are made from it,
/// so that all workers run the same.
final class PolicyFileRecord {
    enum Answer: Equatable {
        case present
        case absent
        case contents([UInt8])
        /// With the reason.
        case unreadable(String)
    }
    private(set) var answers: [String: Answer]
    /// `nil`: only what is recorded already.
    private let loader: PolicySourceLoader?

    init(_ loader: PolicySourceLoader) {
        self.loader = loader
        answers = [:]
    }

    /// Gives the recorded answers again and none else.
    init(replaying answers: [String: Answer]) {
        loader = nil
        self.answers = answers
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

    func read(_ path: String) throws(PolicyFileFault) -> [UInt8] {
        switch answers[path] {
        case .contents(let bytes): return bytes
        case .unreadable(let reason): throw PolicyFileFault(reason)
        case .present, .absent, nil: break
        }
        guard let loader else { throw PolicyFileFault("was not read when the policies were loaded") }
        do {
            let bytes = try loader.read(path)
            answers[path] = .contents(bytes)
            return bytes
        } catch {
            answers[path] = .unreadable("\(error)")
            throw PolicyFileFault("\(error)")
        }
    }

    /// Whether `loader` would give the same answers today.
    static func isUnchanged(_ answers: [String: Answer], _ loader: PolicySourceLoader) -> Bool {
        answers.allSatisfy { path, answer in
            switch answer {
            case .present: loader.exists(path)
            case .absent: !loader.exists(path)
            case .contents(let bytes): (try? loader.read(path)) == bytes
            case .unreadable: (try? loader.read(path)) == nil
            }
        }
    }
}

/// Why a file of a policy could not be read.
struct PolicyFileFault: Error, CustomStringConvertible {
    let message: String
    init(_ message: String) { self.message = message }
    var description: String { message }

    /// The message without the path, which may be anything where a script or a secret's setting names it.
    func message(hiding path: String) -> String { message.replacing(path, with: "the file") }
}
