import CMoongate
import MoongateLua

/// A gRPC message: what `handle:grpcMessages()` gives and `on_grpc_message` is called with.
enum GRPCMessageBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.grpcMessage, name: "grpc message",
            summary: """
                One message of a gRPC call, without the prefix that says how long it is. It works until the next one is \
                asked for, in `on_grpc_message` until the hook ends.
                """, bindings: bindings, bytes: payload)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding("length", "", type: "(): integer", doc: "How many bytes it has.", length),
            LuaBinding(
                "bytes", "", type: "(): string",
                doc: "The encoded message, as the sender has compressed it, see `isCompressed`.", bytes),
            LuaBinding(
                "set", "s", type: "(bytes: string)",
                doc: """
                    Puts an encoded message in its place, not compressed. One over `policies.message_limit` ends the \
                    call as a message that came so large does.
                    """, set),
            LuaBinding(
                "isCompressed", "", type: "(): boolean",
                doc: "Whether its bytes are compressed, in the way that `grpc-encoding` among the headers names.",
                isCompressed),
            LuaBinding(
                "drop", "", type: "()",
                doc: "Nothing of the message goes on, and it can no longer be used.", drop),
        ]
    }

    /// The message; `nil`: it was dropped.
    private static func message(_ call: BindingCall) -> PolicyBuffer? {
        guard let native = call.pointee.object?.pointee.native else { return nil }
        let buffer = Unmanaged<PolicyBuffer>.fromOpaque(native).takeUnretainedValue()
        return buffer.count == 0 ? nil : buffer
    }

    /// For calls that carry the message; one that was dropped is empty.
    private static let payload: mg_bytes = { native, size in
        let buffer = Unmanaged<PolicyBuffer>.fromOpaque(native).takeUnretainedValue()
        let bytes = buffer.count == 0 ? .empty : buffer.payload
        size.pointee = bytes.count
        return bytes.base
    }

    private static func failDropped(_ call: BindingCall) -> mg_action { call.fail("the message was dropped") }

    private static let length: mg_leaf = { call in
        guard let message = message(call) else { return failDropped(call) }
        call.give(Int64(message.payload.count))
        return MG_RETURN
    }

    private static let bytes: mg_leaf = { call in
        guard let message = message(call) else { return failDropped(call) }
        call.give(message.payload)
        return MG_RETURN
    }

    private static let set: mg_leaf = { call in
        guard let message = message(call) else { return failDropped(call) }
        guard let engine = call.engine, let run = call.run else { return MG_RETURN }
        let bytes = call.bytes(0)
        guard bytes.count <= engine.unit.terms.messageLimit else {
            run.refusal = .messageTooLarge(limit: engine.unit.terms.messageLimit)
            return MG_STOP
        }
        message.setMessage(bytes)
        return MG_RETURN
    }

    private static let isCompressed: mg_leaf = { call in
        guard let message = message(call) else { return failDropped(call) }
        call.give(message.isCompressed)
        return MG_RETURN
    }

    private static let drop: mg_leaf = { call in
        guard let message = message(call) else { return failDropped(call) }
        message.removeAll()
        return MG_RETURN
    }
}

/// What the handle knows of messages.
extension BodyBinding {
    static var messageBindings: [LuaBinding] {
        [
            LuaBinding(
                "grpcMessages", "i?", type: "(limit?: integer): fun(): GrpcMessage?",
                doc: """
                    For `for message in handle:grpcMessages() do`: gives the messages of a gRPC call one by one, each as \
                    soon as it is complete, and lets the head go on. A message goes on when the next one is asked for. \
                    One with more than `limit` bytes (`policies.message_limit`, which is also the most that can be given) \
                    ends the call with `RESOURCE_EXHAUSTED`. Gives nothing if the body is not gRPC's.
                    """, grpcMessages)
        ]
    }

    private static let grpcMessages: mg_leaf = { call in
        guard let run = call.run, let engine = call.engine, run.hasBody else {
            return call.fail("only hooks have bodies")
        }
        let limit = call.isAbsent(0) ? Int64(engine.unit.terms.messageLimit) : call.integer(0)
        guard limit > 0, limit <= engine.unit.terms.messageLimit else {
            return call.fail(
                "grpcMessages: the limit must be 1 to \(engine.unit.terms.messageLimit) bytes (policies.message_limit)")
        }
        call.giveMethod("nextMessage")
        guard run.bodyIsGRPC, let stage = run.openStage() else { return MG_RETURN }
        // The hook for messages begins anew after an error that does no harm.
        if run.isMessageHook && stage.reader != nil { return MG_RETURN }
        guard stage.whole == nil, !stage.streams, stage.reader == nil else {
            return call.fail("cannot call grpcMessages after body processing has begun")
        }
        stage.reader = GRPCMessageReader(limit: Int(limit))
        return MG_RETURN
    }

    /// What the iterator calls.
    static let nextMessage: mg_leaf = { call in
        guard let run = call.run, run.hasBody else { return call.fail("only hooks have bodies") }
        // Without a reader the body is not gRPC's.
        guard let stage = run.stage, stage.reader != nil, !stage.hasNoMoreMessages else {
            return MG_RETURN
        }
        run.beginStreaming(stage)
        run.wait = .message
        return MG_WAIT
    }
}
