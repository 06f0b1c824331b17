import CMoongate

/// Memory for records that are used again and again. In builds with checks a word in front of each record counts its uses, so that a
/// handle of an earlier use is told from one of the present use, and AddressSanitizer sees a record that rests as freed memory.
///
/// The compilation condition `CHECKED` is set in debug, sanitizer and fuzzing builds.
enum PoolSlot<Record> {
    #if CHECKED
        private static var headSize: Int { max(16, MemoryLayout<Record>.alignment) }
    #else
        private static var headSize: Int { 0 }
    #endif

    private static var stride: Int {
        let alignment = max(16, MemoryLayout<Record>.alignment)
        return (headSize + MemoryLayout<Record>.stride + alignment - 1) / alignment * alignment
    }

    /// Uninitialised room for `count` records, which `record` finds.
    static func allocate(count: Int) -> UnsafeMutableRawPointer {
        let slots = UnsafeMutableRawPointer.allocate(
            byteCount: stride * count, alignment: max(16, MemoryLayout<Record>.alignment))
        slots.initializeMemory(as: UInt8.self, repeating: 0, count: stride * count)
        return slots
    }

    static func record(_ index: Int, of slots: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Record> {
        (slots + index * stride + headSize).assumingMemoryBound(to: Record.self)
    }

    #if CHECKED
        @inline(__always) static func use(of record: UnsafeMutablePointer<Record>) -> UInt64 {
            (UnsafeMutableRawPointer(record) - headSize).load(as: UInt64.self)
        }
    #endif

    /// The record's use is over: handles on it are stale.
    @inline(__always) static func rest(_ record: UnsafeMutablePointer<Record>) {
        #if CHECKED
            let head = UnsafeMutableRawPointer(record) - headSize
            head.storeBytes(of: head.load(as: UInt64.self) &+ 1, as: UInt64.self)
            mg_poison(record, MemoryLayout<Record>.size)
        #endif
    }

    /// The record is about to be used, or freed.
    @inline(__always) static func wake(_ record: UnsafeMutablePointer<Record>) {
        #if CHECKED
            mg_unpoison(record, MemoryLayout<Record>.size)
        #endif
    }
}
