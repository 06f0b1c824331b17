import CMoongate

/// A JSON text that was read, with its own copy of everything: lives as long as somebody needs it.
final class JSONDocument {
    private let memory: UnsafeMutablePointer<UInt8>
    private let tape: UnsafeMutablePointer<mg_tape>

    init(_ source: Bytes, limits: JSONReader.Limits = .init()) throws(JSONFault) {
        let size = max(1, min(source.count, limits.bytes))
        // The source's copy, then the room for texts with escapes.
        memory = .allocate(capacity: size * 2)
        tape = .allocate(capacity: 1)
        tape.initialize(to: mg_tape())
        guard source.count <= size else { throw JSONFault(message: "the text is longer than \(limits.bytes) bytes") }
        memory.update(from: source.base, count: source.count)
        let copy = Bytes(UnsafePointer(memory), source.count)
        var reader = JSONReader(copy, to: tape, room: memory + size, limits: limits)
        try reader.read()
    }

    deinit {
        mg_tape_free(tape)
        tape.deallocate()
        memory.deallocate()
    }

    /// `nil` never happens: a document that was read has a value.
    var root: TapeView? { TapeView(tape.pointee) }
}
