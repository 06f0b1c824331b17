import CMoongate
import MoongateLua

/// The head of a call, from the table that a script gives.
struct CallHeaders {
    private var pseudo: [(name: [UInt8], value: [UInt8])] = []
    private var plain: [(name: [UInt8], value: [UInt8])] = []
    /// What is wrong with the table; `nil`: nothing.
    private(set) var fault: CallMessage?

    /// - Parameter table: texts, numbers or lists of them by name.
    init(_ table: LuaValue) {
        switch table {
        case .table(let entries):
            for entry in entries where fault == nil { add(entry) }
        case .null: break
        default: fault = "headers must be a table of values by name"
        }
    }

    private mutating func add(_ entry: LuaValue.Entry) {
        guard let name = entry.key.stringBytes else {
            fault = "headers must be a table of values by name"
            return
        }
        if case .list(let values) = entry.value {
            for value in values { add(name, value) }
        } else {
            add(name, entry.value)
        }
    }

    private mutating func add(_ name: [UInt8], _ value: LuaValue) {
        guard let text = CallHeaders.text(value) else {
            fault = "the value of a header must be a text, a number or a list of them"
            return
        }
        set(name, text)
    }

    /// Adds a field after checking it; a pseudo-header takes the place of an earlier one.
    private mutating func set(_ name: [UInt8], _ value: [UInt8]) {
        let lower = name.map(\.asciiLowercased)
        let name = lower == Array("host".utf8) ? Array(":authority".utf8) : lower
        let trimmed = value.withBytes { Array(HeaderRules.trimmed($0).buffer) }
        fault =
            fault
            ?? name.withBytes { name in
                trimmed.withBytes { HeaderRules.fault(name: name, value: $0, isRequest: true) }
            }
        if name.first == UInt8(ascii: ":") {
            pseudo.removeAll { $0.name == name }
            pseudo.append((name, trimmed))
        } else {
            plain.append((name, trimmed))
        }
    }

    mutating func set(_ name: StaticString, _ value: [UInt8]) {
        remove(name)
        set(Array(String(describing: name).utf8), value)
    }

    mutating func set(_ name: StaticString, _ value: String) { set(name, Array(value.utf8)) }

    mutating func setIfAbsent(_ name: StaticString, _ value: String) {
        if !has(name) { set(name, value) }
    }

    mutating func remove(_ name: StaticString) {
        let bytes = Array(String(describing: name).utf8)
        plain.removeAll { $0.name == bytes }
    }

    func has(_ name: StaticString) -> Bool { value(name) != nil }

    /// The first value of a field.
    func value(_ name: StaticString) -> [UInt8]? {
        let bytes = Array(String(describing: name).utf8)
        return (pseudo + plain).first { $0.name == bytes }?.value
    }

    /// Bytes of all fields.
    var size: Int { (pseudo + plain).reduce(0) { $0 + $1.name.count + $1.value.count } }

    /// Writes the head. False: it is too large.
    func write(to list: HeaderList) -> Bool {
        guard size <= HeaderList.arenaLimit else { return false }
        for field in pseudo + plain {
            field.name.withBytes { name in field.value.withBytes { list.add(name: name, value: $0) } }
        }
        return true
    }

    /// A header value as scripts may give it; numbers print as scripts expect.
    static func text(_ value: LuaValue) -> [UInt8]? {
        switch value {
        case .integer(let integer): return Array("\(integer)".utf8)
        case .number(let number):
            var printed = mg_value()
            printed.kind = MG_NUMBER
            printed.number = number
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { buffer in
                buffer.baseAddress.map { base in
                    Array(UnsafeBufferPointer(start: base, count: Int(mg_print_number(printed, base))))
                }
            }
        default: return value.stringBytes
        }
    }
}

extension [UInt8] {
    /// Lends the bytes as a view.
    func withBytes<Result>(_ body: (Bytes) -> Result) -> Result {
        withUnsafeBufferPointer { buffer in body(buffer.baseAddress.map { Bytes($0, buffer.count) } ?? .empty) }
    }
}

extension HeaderList {
    /// The fields as a table by name; names that come several times have a list, or the last value.
    func table(lists: Bool, skipping: Bytes = .empty) -> LuaValue {
        var names: [[UInt8]] = []
        var values: [[LuaValue]] = []
        var places: [[UInt8]: Int] = [:]
        for index in 0..<count {
            let field = self[index]
            if !skipping.isEmpty && field.name.equals(skipping) { continue }
            let name = Array(field.name.buffer)
            let value = LuaValue.bytes(Array(field.value.buffer))
            if let place = places[name] {
                values[place].append(value)
            } else {
                places[name] = names.count
                names.append(name)
                values.append([value])
            }
        }
        return .table(
            zip(names, values).map { name, values in
                LuaValue.Entry(.bytes(name), lists && values.count > 1 ? .list(values) : values[values.count - 1])
            })
    }
}
