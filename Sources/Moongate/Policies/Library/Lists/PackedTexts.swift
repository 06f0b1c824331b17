/// Texts one behind the other in one block, and where to find them by their bytes: 100,000 names take some megabytes and
/// no object each.
///
/// `@unchecked Sendable`: written in `init` only.
final class PackedTexts: @unchecked Sendable {
    /// Gathers the texts.
    struct Builder {
        fileprivate var bytes: [UInt8] = []
        fileprivate var ends: [UInt32] = []

        /// False: there are too many bytes.
        mutating func append(_ text: String) -> Bool {
            bytes.append(contentsOf: text.utf8)
            guard let end = UInt32(exactly: bytes.count) else { return false }
            ends.append(end)
            return true
        }
    }

    private let block: UnsafeMutablePointer<UInt8>
    private let ends: [UInt32]
    /// One more than a text's place, at its hash or behind; 0: free. At most half of them are taken.
    private let slots: [UInt32]

    init(_ builder: Builder) {
        let block = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, builder.bytes.count))
        builder.bytes.withUnsafeBufferPointer { bytes in
            if let base = bytes.baseAddress { block.update(from: base, count: bytes.count) }
        }
        self.block = block
        ends = builder.ends
        var size = 2
        while size < builder.ends.count * 2 { size *= 2 }
        var slots = [UInt32](repeating: 0, count: size)
        for index in ends.indices {
            let text = PackedTexts.text(index, block, ends)
            var slot = Int(truncatingIfNeeded: StableHash.hash(text)) & (size - 1)
            // A text that is there already takes no slot: any number of equal ones costs no more than others.
            while slots[slot] != 0, !PackedTexts.text(Int(slots[slot]) - 1, block, ends).equals(text) {
                slot = (slot + 1) & (size - 1)
            }
            if slots[slot] == 0 { slots[slot] = UInt32(index + 1) }
        }
        self.slots = slots
    }

    deinit { block.deallocate() }

    var count: Int { ends.count }

    /// As long as the texts.
    subscript(index: Int) -> Bytes { PackedTexts.text(index, block, ends) }

    /// The first place of a text; `nil`: it is none of these.
    func index(of text: Bytes) -> Int? {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: StableHash.hash(text)) & mask
        while slots[slot] != 0 {
            let index = Int(slots[slot]) - 1
            if self[index].equals(text) { return index }
            slot = (slot + 1) & mask
        }
        return nil
    }

    private static func text(_ index: Int, _ block: UnsafeMutablePointer<UInt8>, _ ends: [UInt32]) -> Bytes {
        let start = index == 0 ? 0 : Int(ends[index - 1])
        return Bytes(UnsafePointer(block) + start, Int(ends[index]) - start)
    }
}
