import CMoongate
import MoongateLua

/// What the handle knows of bodies and trailers, of the request in the request hook and of the response in the
/// response hook.
enum BodyBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "body", "~b?", type: "(always_wrap?: boolean): Buffer?",
                doc: """
                    Waits for the whole body and gives it as a buffer; the head waits, too. Nil if there is no body, \
                    unless `always_wrap` is true. A body over `policies.body_limit` ends the request with 413, a \
                    response with 500.
                    """, body),
            LuaBinding(
                "bodyChunks", "", type: "(): fun(): Buffer?",
                doc: """
                    For `for chunk in handle:bodyChunks() do`: gives the body piece by piece, as it comes, and lets \
                    the head go on. A piece can be changed until the next one is asked for, the last one until the \
                    hook ends.
                    """, bodyChunks),
            LuaBinding(
                "trailers", "~b?", type: "(create?: boolean): HeaderMap?",
                doc: """
                    Waits for the end of the body, which passes meanwhile if it was not read, and gives the \
                    trailers. Nil if there are none, unless `create` is true.
                    """, trailers),
            LuaBinding(
                "isResponse", "", type: "(): boolean",
                doc: "Whether this is the response hook.", isResponse),
        ]
    }

    /// What iterators call.
    static var hidden: [LuaBinding] {
        [
            LuaBinding("nextChunk", "~", type: "(): Buffer?", doc: "The next piece; nil at the end.", nextChunk),
            LuaBinding(
                "nextMessage", "~", type: "(): GrpcMessage?", doc: "The next message; nil at the end.", nextMessage),
        ]
    }

    private static func isTrue(_ call: BindingCall) -> Bool {
        call.pointee.arguments[0].kind == MG_BOOLEAN && call.pointee.arguments[0].boolean
    }

    // MARK: The whole body

    private static let body: mg_leaf = { call in
        guard let run = call.run, let stage = run.openStage() else { return call.fail("only hooks have bodies") }
        if stage.whole != nil, let object = stage.object {
            call.give(object)
            return MG_RETURN
        }
        guard !stage.streams, stage.reader == nil else {
            return call.fail(
                stage.inputEnded
                    ? "cannot call body() after body has been streamed"
                    : "cannot call body() after body streaming has started")
        }
        stage.wrapsEmpty = isTrue(call)
        run.wait = .body
        return MG_WAIT
    }

    // MARK: Pieces

    private static let bodyChunks: mg_leaf = { call in
        guard let run = call.run, let stage = run.openStage() else { return call.fail("only hooks have bodies") }
        guard stage.whole == nil, !stage.streams, stage.reader == nil else {
            return call.fail("cannot call bodyChunks after body processing has begun")
        }
        call.giveMethod("nextChunk")
        return MG_RETURN
    }

    private static let nextChunk: mg_leaf = { call in
        guard let run = call.run, let stage = run.openStage() else { return call.fail("only hooks have bodies") }
        guard stage.whole == nil, stage.reader == nil else {
            return call.fail("cannot call bodyChunks after body processing has begun")
        }
        if stage.isOver {
            stage.streams = true
            return MG_RETURN
        }
        run.beginStreaming(stage)
        run.wait = .chunk
        return MG_WAIT
    }

    // MARK: The end

    private static let trailers: mg_leaf = { call in
        guard let run = call.run else { return call.fail("only hooks have trailers") }
        guard let stage = run.openStage() else { return call.fail("only hooks have trailers") }
        if isTrue(call) { stage.makesTrailers = true }
        stage.streams = true
        if stage.inputEnded {
            call.give(stage.body.trailersObject(stage))
            return MG_RETURN
        }
        run.wait = .trailers
        return MG_WAIT
    }

    private static let isResponse: mg_leaf = { call in
        call.give(call.run?.pointer.pointee.phase == .response)
        return MG_RETURN
    }
}
