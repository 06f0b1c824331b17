import CMoongate
import MoongateLua

/// A body or a piece of one: what `handle:body()` and `handle:bodyChunks()` give.
enum BufferBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.buffer, name: "buffer", summary: "A body, or a piece of one.", bindings: bindings,
            bytes: bytes)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding("length", "", type: "(): integer", doc: "How many bytes there are.", length),
            LuaBinding(
                "getBytes", "ii", type: "(index: integer, length: integer): string",
                doc: "Bytes from `index`, which counts from 0. Raises an error outside of the buffer.", getBytes),
            LuaBinding(
                "setBytes", "s", type: "(bytes: string): integer",
                doc: """
                    Puts other bytes in the place of all of these, and gives their number. For a whole body \
                    `content-length` follows.
                    """, setBytes),
        ]
    }

    private static func buffer(_ call: BindingCall) -> PolicyBuffer? {
        call.pointee.object?.pointee.native.map { Unmanaged<PolicyBuffer>.fromOpaque($0).takeUnretainedValue() }
    }

    /// For calls that carry the buffer.
    private static let bytes: mg_bytes = { native, size in
        let bytes = Unmanaged<PolicyBuffer>.fromOpaque(native).takeUnretainedValue().bytes
        size.pointee = bytes.count
        return bytes.base
    }

    private static let length: mg_leaf = { call in
        call.give(Int64(buffer(call)?.count ?? 0))
        return MG_RETURN
    }

    private static let getBytes: mg_leaf = { call in
        let (index, length) = (call.integer(0), call.integer(1))
        let bytes = buffer(call)?.bytes ?? .empty
        guard index >= 0, length >= 0, index <= bytes.count, length <= Int64(bytes.count) - index else {
            return call.fail("index/length must be >= 0 and (index + length) must be <= buffer size")
        }
        call.give(bytes[Int(index)..<Int(index) + Int(length)])
        return MG_RETURN
    }

    private static let setBytes: mg_leaf = { call in
        guard let buffer = buffer(call), let engine = call.engine, let run = call.run else { return MG_RETURN }
        let bytes = call.bytes(0)
        guard bytes.count <= engine.unit.terms.bodyLimit else {
            run.refusal = .bodyTooLarge
            return MG_STOP
        }
        buffer.replace(by: bytes)
        if let stage = buffer.stage { stage.body.setLength(bytes.count) }
        call.give(Int64(bytes.count))
        return MG_RETURN
    }
}

extension PolicyBody {
    /// Makes the head say how long the body is, where there can be one.
    func setLength(_ count: Int) {
        guard !isBodiless, !run.isHeadGone, let head = flow.head else { return }
        String(count).withBytes { head.set(name: Bytes("content-length"), value: $0) }
    }
}
