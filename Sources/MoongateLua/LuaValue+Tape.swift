import CMoongate

// MARK: From Lua

extension LuaValue {
    /// - Parameters:
    ///   - value: an argument of a leaf.
    ///   - tape: where its tables lie.
    /// - Returns: `nil` for what is no plain value, a function for example, at any depth.
    public init?(_ value: mg_value, tape: UnsafeMutablePointer<mg_tape>) {
        guard value.kind == MG_TABLE else {
            self.init(scalar: value)
            return
        }
        var place = Int(value.integer)
        self.init(tape: tape, place: &place)
    }

    private init?(scalar value: mg_value) {
        switch value.kind {
        case MG_NIL, MG_NULL: self = .null
        case MG_BOOLEAN: self = .bool(value.boolean)
        case MG_INTEGER: self = .integer(value.integer)
        case MG_NUMBER: self = .number(value.number)
        case MG_STRING:
            let bytes = UnsafeBufferPointer(start: value.bytes, count: Int(value.size))
            self = String(validating: bytes, as: UTF8.self).map { .string($0) } ?? .bytes(Array(bytes))
        default: return nil
        }
    }

    /// Reads one value and leaves `place` behind it. Depth is bounded by the encoder.
    private init?(tape: UnsafeMutablePointer<mg_tape>, place: inout Int) {
        let count = Int(tape.pointee.count)
        guard let values = tape.pointee.values, place < count else { return nil }
        guard values[place].kind == MG_TABLE else {
            self.init(scalar: values[place])
            place += 1
            return
        }
        place += 1
        var entries: [Entry] = []
        while place < count, values[place].kind != MG_END {
            guard let key = LuaValue(tape: tape, place: &place), let value = LuaValue(tape: tape, place: &place)
            else { return nil }
            entries.append(Entry(key, value))
        }
        place += 1
        self = LuaValue.listOrTable(entries)
    }

    /// Keys 1…n make a list, anything else (the empty table too) stays a table.
    private static func listOrTable(_ entries: [Entry]) -> LuaValue {
        guard !entries.isEmpty else { return .table([]) }
        var values = [LuaValue?](repeating: nil, count: entries.count)
        for entry in entries {
            guard case .integer(let index) = entry.key, index >= 1, index <= entries.count else {
                return .table(entries)
            }
            values[Int(index) - 1] = entry.value
        }
        return .list(values.compactMap { $0 })
    }
}

// MARK: To Lua

/// Keeps texts alive until Lua has taken them from a tape.
public final class LuaTextKeeper {
    private var blocks: [UnsafeMutablePointer<UInt8>] = []
    public init() {}
    deinit { for block in blocks { block.deallocate() } }

    func keep(_ text: String) -> mg_value { Array(text.utf8).withUnsafeBufferPointer { keep($0) } }

    /// A text of any bytes, copied.
    public func keep(_ bytes: UnsafeBufferPointer<UInt8>) -> mg_value {
        let block = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        if let base = bytes.baseAddress { block.initialize(from: base, count: bytes.count) }
        blocks.append(block)
        var value = mg_value()
        value.kind = MG_STRING
        value.size = UInt32(clamping: bytes.count)
        value.bytes = UnsafePointer(block)
        return value
    }
}

extension LuaValue {
    /// Appends the value to a tape. False: the tape is full (16 million values).
    public func write(to tape: UnsafeMutablePointer<mg_tape>, keeping keeper: LuaTextKeeper) -> Bool {
        var value = mg_value()
        switch self {
        case .null: value.kind = MG_NIL
        case .bool(let bool):
            value.kind = MG_BOOLEAN
            value.boolean = bool
        case .integer(let integer):
            value.kind = MG_INTEGER
            value.integer = integer
        case .number(let number):
            value.kind = MG_NUMBER
            value.number = number
        case .string(let text): value = keeper.keep(text)
        case .bytes(let bytes): value = bytes.withUnsafeBufferPointer { keeper.keep($0) }
        case .list(let values):
            return LuaValue.write(MG_LIST, values.count, to: tape) {
                values.allSatisfy { $0.write(to: tape, keeping: keeper) }
            }
        case .table(let entries):
            return LuaValue.write(MG_TABLE, entries.count, to: tape) {
                entries.allSatisfy {
                    $0.key.write(to: tape, keeping: keeper) && $0.value.write(to: tape, keeping: keeper)
                }
            }
        }
        return mg_tape_push(tape, value)
    }

    private static func write(
        _ kind: mg_kind, _ count: Int, to tape: UnsafeMutablePointer<mg_tape>, content: () -> Bool
    ) -> Bool {
        var start = mg_value()
        start.kind = kind
        start.size = UInt32(clamping: count)
        var end = mg_value()
        end.kind = MG_END
        return mg_tape_push(tape, start) && content() && mg_tape_push(tape, end)
    }
}
