import MoongateLua

/// One policy's part in a body: what has come for it, and what its hook has made of it.
final class BodyStage {
    let instance: Int32
    /// Ends the circle in `PolicyBody.close`.
    let body: PolicyBody
    /// The hook that waits; `nil` while it runs for the first time, and when it is done: then everything passes.
    var frame: PolicyFrame?

    var input = PolicyChunks()
    /// Nothing will be appended to `input`.
    var inputEnded = false
    /// The end was told to the next stage.
    var hasEnded = false

    /// The whole body, once `body()` has begun.
    var whole: PolicyBuffer?
    /// The piece that a script works on.
    var chunk: PolicyBuffer?
    /// What a script knows `whole` or `chunk` by.
    private(set) var object: LuaObject?

    /// `body(true)`: an empty body is a buffer, too.
    var wrapsEmpty = false
    /// `trailers(true)`: there are always trailers.
    var makesTrailers = false
    /// Pieces or trailers were asked for: the body goes by.
    var streams = false
    private var gaveChunk = false
    /// The piece that was given ends the body.
    private(set) var gaveLast = false

    init(_ instance: Int32, _ body: PolicyBody) {
        self.instance = instance
        self.body = body
    }

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

    // MARK: What scripts hold

    /// An object for `buffer`; `nil`: the VM's memory is spent.
    func lend(_ buffer: PolicyBuffer, _ run: PolicyRun) -> LuaObject? {
        endObject(run)
        object = run.lend(PolicyClasses.buffer, Unmanaged.passUnretained(buffer).toOpaque())
        return object
    }

    /// What a script still holds is dead.
    func endObject(_ run: PolicyRun) {
        guard let object else { return }
        self.object = nil
        run.takeBack(object)
    }
}
