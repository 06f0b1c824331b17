/// Immutable plain values in one block of memory, read without reference counts and bounds checks.
///
/// A trivial view: whoever makes one frees it, and nobody reads it afterwards.
struct FlatArray<Element: BitwiseCopyable> {
    private let base: UnsafeMutablePointer<Element>
    let count: Int

    init(copying elements: [Element]) {
        count = elements.count
        base = .allocate(capacity: max(1, count))
        base.initialize(from: elements, count: count)
    }

    /// Unchecked: `index` must lie within `0..<count`.
    @inline(__always) subscript(index: Int) -> Element { base[index] }
    @inline(__always) subscript(index: Int32) -> Element { base[Int(index)] }

    func free() { base.deallocate() }
}

extension FlatArray where Element == UInt8 {
    @inline(__always) func bytes(_ range: TextRange) -> Bytes { Bytes(base + Int(range.start), Int(range.count)) }
}

/// Where a name or value stands in the route table's text.
struct TextRange: BitwiseCopyable {
    var start: UInt32
    var count: UInt32
}
