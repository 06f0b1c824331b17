import Synchronization

/// One number with one writing thread and any number of readers.
///
/// A trivial value that points into a `CounterBlock`; whoever stores it keeps the block alive. Because only one
/// thread writes, adding is a plain load and store: no locked instruction, and no reader ever sees half a number.
struct Counter: @unchecked Sendable {  // the cell it points to is atomic
    fileprivate let cell: UnsafeMutablePointer<Atomic<UInt64>>

    /// Wraps around silently at 2^64. Only on the writing thread.
    @inline(__always) func add(_ amount: UInt64 = 1) {
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// For gauges, which go up and down. Only on the writing thread.
    @inline(__always) func subtract(_ amount: UInt64 = 1) { add(0 &- amount) }

    @inline(__always) func set(_ value: UInt64) { cell.pointee.store(value, ordering: .relaxed) }

    /// For cells that hold floating-point numbers. Only on the writing thread.
    @inline(__always) func add(number: Double) { set((self.number + number).bitPattern) }

    /// As `add(number:)`, on any thread.
    func addShared(number: Double) {
        var old = cell.pointee.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + number).bitPattern
            let (isDone, found) = cell.pointee.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if isDone { return }
            old = found
        }
    }

    /// The floating-point number that the cell holds.
    @inline(__always) var number: Double { Double(bitPattern: value) }

    /// Readable on every thread; may lag behind the writer by moments.
    @inline(__always) var value: UInt64 { cell.pointee.load(ordering: .relaxed) }
}

/// The counters that belong to one thread: a trivial view of one row of a `CounterBlock`.
struct CounterRow: @unchecked Sendable {  // as `Counter`
    fileprivate let cells: UnsafeMutablePointer<Atomic<UInt64>>

    /// Unchecked: `column` must lie below the block's `columns`.
    @inline(__always) subscript(column: Int) -> Counter { Counter(cell: cells + column) }

    /// The row's own columns from `first` on.
    @inline(__always) func advanced(by first: Int) -> CounterRow { CounterRow(cells: cells + first) }
}

/// The same set of counters once per writing thread, each thread's on cache lines of its own.
final class CounterBlock: @unchecked Sendable {  // the memory holds atomics only, and its address never changes
    let rows: Int
    let columns: Int
    private let stride: Int
    private let memory: UnsafeMutableRawPointer
    private var cells: UnsafeMutablePointer<Atomic<UInt64>> {
        memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// All counters start at 0.
    init(rows: Int, columns: Int) {
        precondition(rows > 0 && columns > 0, "a block of \(rows) by \(columns) counters")
        self.rows = rows
        self.columns = columns
        let perLine = 8
        stride = (columns + perLine - 1) / perLine * perLine
        memory = .allocate(byteCount: rows * stride * MemoryLayout<Atomic<UInt64>>.stride, alignment: 64)
        let cells = memory.bindMemory(to: Atomic<UInt64>.self, capacity: rows * stride)
        for index in 0..<rows * stride { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        cells.deinitialize(count: rows * stride)
        memory.deallocate()
    }

    /// The counters of one thread.
    func row(_ index: Int) -> CounterRow {
        precondition(index >= 0 && index < rows, "row \(index) of \(rows)")
        return CounterRow(cells: cells + index * stride)
    }

    /// One column over all threads. Gauges may be negative in a single row; their sum is what counts.
    func total(_ column: Int) -> UInt64 {
        precondition(column >= 0 && column < columns, "column \(column) of \(columns)")
        var sum: UInt64 = 0
        for row in 0..<rows { sum &+= cells[row * stride + column].load(ordering: .relaxed) }
        return sum
    }

    /// As `total`, for a column of floating-point numbers.
    func numberTotal(_ column: Int) -> Double {
        precondition(column >= 0 && column < columns, "column \(column) of \(columns)")
        var sum = 0.0
        for row in 0..<rows { sum += Double(bitPattern: cells[row * stride + column].load(ordering: .relaxed)) }
        return sum
    }
}

/// A fixed list of rows that is read by plain index; made and freed by its owner.
struct UnsafeRows: @unchecked Sendable {  // never written after it is made
    private let base: UnsafeMutablePointer<CounterRow>

    init(_ rows: [CounterRow]) {
        base = .allocate(capacity: max(1, rows.count))
        for (index, row) in rows.enumerated() { (base + index).initialize(to: row) }
    }

    /// Unchecked.
    @inline(__always) subscript(index: Int) -> CounterRow { base[index] }

    func deallocate() { base.deallocate() }
}
