import MoongateLua

/// One policy's part in a body: what has come for it, and what its hook has made of it.
final class BodyStage {
    let instance: Int32
    /// What the hook sees of the run, in its engine.
    let visit: PolicyVisit
    /// Ends the circle in `PolicyBody.close`.
    let body: PolicyBody
    /// The hook that waits; `nil` while it runs for the first time, and when it is done: then everything passes.
    var frame: SuspendedHook?

    var input = PolicyChunks()
    /// Nothing will be appended to `input`.
    var inputEnded = false
    /// The end was told to the next stage.
    var hasEnded = false

    /// The whole body, once `body()` has begun.
    var whole: PolicyBuffer?
    /// The piece or message that a script works on.
    var chunk: PolicyBuffer?
    /// What a script knows `whole` or `chunk` by.
    private(set) var object: LuaObject?

    /// `body(true)`: an empty body is a buffer, too.
    var wrapsEmpty = false
    /// `trailers(true)`: there are always trailers.
    var makesTrailers = false
    /// Takes messages out of `input`, once `grpcMessages()` was called.
    var reader: GRPCMessageReader?
    /// Pieces or trailers were asked for: the body goes by.
    var streams = false
    private var gaveChunk = false
    /// The piece that was given ends the body.
    private(set) var gaveLast = false

    init(_ instance: Int32, _ visit: PolicyVisit, _ body: PolicyBody) {
        self.instance = instance
        self.visit = visit
        self.body = body
    }

    /// Bytes that a hook may hold as a whole.
    var bodyLimit: Int { visit.pointee.engine?._withUnsafeGuaranteedRef { $0.unit.terms.bodyLimit } ?? 0 }

    /// No further piece will come: an iterator ends without waiting.
    var isOver: Bool { gaveLast || (inputEnded && input.isEmpty && (body.hasTrailers || !gaveChunk)) }

    /// Which piece comes next, if it may be given.
    func nextChunk() -> PolicyBuffer? {
        if input.isEmpty {
            // The end came by itself: the last piece is empty.
            guard inputEnded, !isOver else { return nil }
            gaveLast = true
            return PolicyBuffer()
        }
        let isSole = input.count == 1
        if isSole && !inputEnded && body.newestIsOpen { return nil }
        gaveLast = isSole && inputEnded && !body.hasTrailers
        gaveChunk = true
        return input.removeFirst()
    }

    /// There may be something for the hook that waits.
    var hasNews: Bool { inputEnded || !input.isEmpty || reader?.isEmpty == false }

    /// Bytes that have come and were not given to the script.
    var held: Int { input.size + (reader?.unread ?? 0) }

    /// Bytes that the script has, or will have once the rest has come.
    var collected: Int { (whole?.count ?? 0) + (chunk?.count ?? 0) + (reader?.gathered ?? 0) }

    /// No further message will come, and none is cut: an iterator ends without waiting.
    var hasNoMoreMessages: Bool { inputEnded && input.isEmpty && reader?.isEmpty != false }

    // MARK: What scripts hold

    /// An object for `buffer`; `nil`: the VM's memory is spent.
    func lend(_ buffer: PolicyBuffer, as kind: UInt16 = PolicyClasses.buffer) -> LuaObject? {
        endObject()
        object = visit.pointee.engine?._withUnsafeGuaranteedRef {
            try? $0.vm.makeObject(
                class: kind, scope: visit.scope, native: Unmanaged.passUnretained(buffer).toOpaque())
        }
        return object
    }

    /// What a script still holds is dead.
    func endObject() {
        guard let object else { return }
        self.object = nil
        visit.pointee.engine?._withUnsafeGuaranteedRef { $0.vm.end(object) }
    }
}
