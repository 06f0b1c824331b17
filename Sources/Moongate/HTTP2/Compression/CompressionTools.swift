/// What the header compression of all connections of a worker shares. Thread-confined.
final class CompressionTools {
    struct StaticField {
        let name: Bytes
        let value: Bytes
        let id: FieldName
    }

    let huffman = HuffmanCode()
    /// By number, see `StaticTable`.
    let fields = UnsafeMutablePointer<StaticField>.allocate(capacity: StaticTable.fields.count)
    let nameScratch = TextScratch()
    let valueScratch = TextScratch()
    /// Nobody outside knows which fields fall together.
    let seed = UInt64.random(in: 0...UInt64.max)

    init() {
        for (number, field) in StaticTable.fields.enumerated() {
            let name = Bytes(field.name)
            (fields + number).initialize(
                to: StaticField(name: name, value: Bytes(field.value), id: FieldName.identify(name)))
        }
    }

    deinit { fields.deallocate() }
}

/// Memory for one text at a time. Grows to the longest seen.
final class TextScratch {
    private let memory = UnsafeMutablePointer<(base: UnsafeMutablePointer<UInt8>, capacity: Int)>.allocate(capacity: 1)

    init() { memory.initialize(to: (.allocate(capacity: 1024), 1024)) }

    deinit {
        memory.pointee.base.deallocate()
        memory.deallocate()
    }

    /// What was there before is gone.
    @inline(__always) func room(for count: Int) -> UnsafeMutablePointer<UInt8> {
        if count > memory.pointee.capacity { grow(to: count) }
        return memory.pointee.base
    }

    private func grow(to count: Int) {
        memory.pointee.base.deallocate()
        memory.pointee = (.allocate(capacity: count * 2), count * 2)
    }

    /// A copy of `text`.
    func hold(_ text: Bytes) -> Bytes {
        let target = room(for: text.count)
        target.update(from: text.base, count: text.count)
        return Bytes(UnsafePointer(target), text.count)
    }
}
