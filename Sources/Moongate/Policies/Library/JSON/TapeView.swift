import CMoongate

/// A value on a tape, read in place: what a script passed, or what JSON text was read into.
///
/// Lists that come from scripts are tables with the keys 1…n, those from JSON are lists; both read alike. Valid as long
/// as the tape and the bytes that its texts point to.
struct TapeView {
    private let values: UnsafePointer<mg_value>
    private let end: Int
    private let place: Int

    /// The first value of a tape that begins at `place`; `nil` if there is none.
    init?(_ tape: mg_tape, at place: Int = 0) {
        guard let values = tape.values, place >= 0, place < Int(tape.count) else { return nil }
        self.init(UnsafePointer(values), Int(tape.count), place)
    }

    private init(_ values: UnsafePointer<mg_value>, _ end: Int, _ place: Int) {
        self.values = values
        self.end = end
        self.place = place
    }

    /// An argument of a leaf: a table lies on the input tape, anything else is its own tape of one.
    init(argument index: Int, of call: BindingCall) {
        let argument = call.pointee.arguments[index]
        let input = call.pointee.input.pointee
        if argument.kind == MG_TABLE, let table = TapeView(input, at: Int(argument.integer)) {
            self = table
        } else {
            self.init(UnsafePointer(call.pointee.arguments + index), 1, 0)
        }
    }

    // MARK: Plain values

    var value: mg_value { values[place] }
    var kind: mg_kind { values[place].kind }
    /// Neither a value nor JSON's null.
    var isNull: Bool { kind == MG_NIL || kind == MG_NULL }
    var isContainer: Bool { kind == MG_TABLE || isList }
    /// Marked as an array, or written as one.
    var isList: Bool { kind == MG_LIST || kind == MG_ARRAY || (kind == MG_TABLE && value.size == 1) }

    var bytes: Bytes? {
        guard kind == MG_STRING, let base = value.bytes else { return nil }
        return Bytes(base, Int(value.size))
    }
    var bool: Bool? { kind == MG_BOOLEAN ? value.boolean : nil }
    var integer: Int64? { kind == MG_INTEGER ? value.integer : nil }
    var number: Double? { kind == MG_NUMBER ? value.number : integer.map(Double.init) }

    /// A text as it is, a number or boolean as scripts print it; `nil` for anything else.
    var plainText: [UInt8]? {
        switch kind {
        case MG_STRING: return bytes.map { Array($0.buffer) }
        case MG_BOOLEAN: return Array((value.boolean ? "true" : "false").utf8)
        case MG_INTEGER, MG_NUMBER:
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { room in
                room.baseAddress.map { Array(room.prefix(Int(mg_print_number(value, $0)))) }
            }
        default: return nil
        }
    }

    func equals(_ literal: StaticString) -> Bool { bytes?.equals(literal) ?? false }

    // MARK: Tables

    /// Behind this value and everything in it.
    private var next: Int {
        var depth = 0
        var index = place
        repeat {
            switch values[index].kind {
            case MG_TABLE, MG_LIST, MG_ARRAY: depth += 1
            case MG_END: depth -= 1
            default: break
            }
            index += 1
        } while depth > 0 && index < end
        return index
    }

    private func at(_ index: Int) -> TapeView? {
        index < end && values[index].kind != MG_END ? TapeView(values, end, index) : nil
    }

    /// What a table holds, in the order of the tape. Nothing for what is no table.
    var entries: [(key: TapeView, value: TapeView)] {
        guard kind == MG_TABLE else { return [] }
        var found: [(key: TapeView, value: TapeView)] = []
        var index = place + 1
        while let key = at(index), let value = at(key.next) {
            found.append((key, value))
            index = value.next
        }
        return found
    }

    /// The values of a list in order; `nil` for what is none. An empty table is an empty list.
    var elements: [TapeView]? {
        if kind == MG_TABLE { return tableElements }
        guard isList else { return nil }
        var found: [TapeView] = []
        var index = place + 1
        while let value = at(index) {
            found.append(value)
            index = value.next
        }
        return found
    }

    private var tableElements: [TapeView]? {
        let entries = entries
        var found = [TapeView?](repeating: nil, count: entries.count)
        for entry in entries {
            guard let key = entry.key.integer, key >= 1, key <= Int64(entries.count) else { return nil }
            found[Int(key) - 1] = entry.value
        }
        return found.compactMap { $0 }
    }

    /// The value of a name; of several the last, as a table would keep it. `nil` if there is none.
    func member(_ name: Bytes) -> TapeView? {
        guard kind == MG_TABLE else { return nil }
        var found: TapeView?
        var index = place + 1
        while let key = at(index), let value = at(key.next) {
            if let bytes = key.bytes, bytes.equals(name) { found = value }
            index = value.next
        }
        return found
    }

    func member(_ name: StaticString) -> TapeView? { member(Bytes(name)) }

    // MARK: Copies

    /// Appends the value, with everything in it. The texts are shared. False: the tape is full.
    func copy(to tape: UnsafeMutablePointer<mg_tape>) -> Bool {
        for index in place..<next where !mg_tape_push(tape, values[index]) { return false }
        return true
    }
}
