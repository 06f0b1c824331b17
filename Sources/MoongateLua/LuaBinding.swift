import CMoongate

/// A function that scripts call and Swift carries out. See `mg_binding` for signatures.
public struct LuaBinding {
    let record: mg_binding
    /// In libraries dots make nested tables: `password.verify`.
    public let name: StaticString
    /// The letters of its arguments, see `mg_binding`.
    public var signature: String { String(cString: record.signature) }
    /// Parameters and results as LuaCATS writes them: `(name: string, value: string|number): boolean`.
    public let type: StaticString
    /// What it does, for people who write policies: sentences of Markdown.
    public let doc: StaticString

    /// - Parameters:
    ///   - type: parameters and results, see above.
    ///   - doc: what it does.
    ///   - constructs: the class of the object that the function makes; 0: none.
    ///   - leaf: reads `arguments`, writes `output`, says what to do. Never calls Lua, never throws.
    public init(
        _ name: StaticString, _ signature: StaticString, type: StaticString, doc: StaticString,
        constructs: UInt16 = 0, _ leaf: mg_leaf
    ) {
        record = mg_binding(name: name.cString, signature: signature.cString, leaf: leaf, constructs: constructs)
        self.name = name
        self.type = type
        self.doc = doc
    }
}

extension StaticString {
    /// The literal with the zero that ends it.
    var cString: UnsafePointer<CChar> { UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self) }
}

/// A place in the VM's registry. Trivial; the VM keeps what it stands for.
public struct LuaReference: Equatable {
    public let raw: Int32
    @inlinable public init(raw: Int32) { self.raw = raw }
}

/// A loaded file: its globals.
public struct LuaFile {
    let globals: LuaReference
    public let name: String
}

/// An object that is lent to scripts; the VM keeps it.
public typealias LuaObject = UnsafeMutablePointer<mg_object>

/// A run that waits for its host.
public struct LuaThread: Equatable {
    let raw: OpaquePointer
}

/// How a run ended, or that it waits.
public enum LuaOutcome: Equatable {
    case finished
    case waiting(LuaThread)
    /// A leaf ended it (`MG_STOP`).
    case stopped
    /// See `LuaVM.lastError`.
    case failed

    init(_ outcome: mg_outcome, _ thread: OpaquePointer?) {
        switch outcome {
        case MG_FINISHED: self = .finished
        case MG_STOPPED: self = .stopped
        case MG_WAITING:
            guard let thread else {
                self = .failed
                return
            }
            self = .waiting(LuaThread(raw: thread))
        default: self = .failed
        }
    }
}
