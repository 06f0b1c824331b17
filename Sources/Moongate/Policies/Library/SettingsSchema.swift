import CMoongate
import MoongateConfig

/// Checks settings against what a policy says about them, and copies them with defaults filled in.
///
/// The description is a table of the script's: name = "type", or name = { "type", required = true, default = …,
/// min = …, max = …, values = { … }, of = …, fields = { … }, single = true }. Types: string, number, integer, boolean,
/// duration, size, list, map, table, any.
struct SettingsSchema {
    enum Fault: Error {
        /// What is wrong with the settings: for who wrote the configuration.
        case settings(CallMessage)
        /// What is wrong with the description: for who wrote the policy.
        case description(CallMessage)
    }

    let output: UnsafeMutablePointer<mg_tape>

    /// - Parameter path: what the table is called in messages; empty for the settings themselves.
    func check(table: TapeView, _ fields: TapeView, path: String) throws(Fault) {
        let known = SettingsSchema.named(fields)
        for (name, _) in SettingsSchema.named(table) where !known.contains(where: { $0.name == name }) {
            let place = path.isEmpty ? "" : " in \(path)"
            throw .settings("unknown setting \(setting: name)\(known: place) (known: \(known: known.map(\.name)))")
        }
        // A list where names are wanted has keys that are no names.
        guard table.entries.allSatisfy({ $0.key.bytes != nil }) else {
            throw .settings("\(known: path.isEmpty ? "the settings" : path) must have names")
        }
        try mark(MG_TABLE)
        for (name, field) in known {
            let full = path.isEmpty ? name : "\(path).\(name)"
            if let value = name.withBytes({ table.member($0) }), !value.isNull {
                try copyName(name, of: fields)
                try check(value, field, full)
            } else if let fallback = field.member("default") {
                try copyName(name, of: fields)
                try copy(fallback)
            } else if field.member("required")?.bool == true {
                throw .settings("\(known: full) is missing")
            }
        }
        try mark(MG_END)
    }

    // MARK: Values

    private func check(_ value: TapeView, _ field: TapeView, _ path: String) throws(Fault) {
        guard let type = field.bytes ?? field.entries.first(where: { $0.key.integer == 1 })?.value.bytes else {
            throw .description("moon.settings: \(known: path) has no type")
        }
        switch type.string {
        case "string":
            guard value.bytes != nil else { throw .settings("\(known: path) must be a string") }
            try checkChoice(value, field, path)
            try copy(value)
        case "number":
            guard let number = value.number else { throw .settings("\(known: path) must be a number") }
            try checkRange(number, field, path)
            try copy(value)
        case "integer":
            guard let integer = value.integer else { throw .settings("\(known: path) must be a whole number") }
            try checkRange(Double(integer), field, path)
            try copy(value)
        case "boolean":
            guard value.bool != nil else { throw .settings("\(known: path) must be true or false") }
            try copy(value)
        case "duration": try checkDuration(value, field, path)
        case "size": try checkSize(value, field, path)
        case "list": try checkList(value, field, path)
        case "map": try checkMap(value, field, path)
        case "table":
            guard value.kind == MG_TABLE else { throw .settings("\(known: path) must be a map") }
            guard let fields = field.member("fields") else { return try copy(value) }
            try check(table: value, fields, path: path)
        case "any": try copy(value)
        default: throw .description("moon.settings: \(known: path) has an unknown type")
        }
    }

    private func checkChoice(_ value: TapeView, _ field: TapeView, _ path: String) throws(Fault) {
        guard let choices = field.member("values")?.elements?.compactMap(\.bytes), let text = value.bytes else {
            return
        }
        guard choices.contains(where: { $0.equals(text) }) else {
            throw .settings("\(known: path) must be one of \(known: choices.map(\.string))")
        }
    }

    private func checkRange(_ number: Double, _ field: TapeView, _ path: String) throws(Fault) {
        let least = field.member("min"), most = field.member("max")
        if (least?.number ?? -.infinity)...(max(most?.number ?? .infinity, least?.number ?? -.infinity)) ~= number {
            return
        }
        let low = String(decoding: least?.plainText ?? [], as: UTF8.self)
        let high = String(decoding: most?.plainText ?? [], as: UTF8.self)
        if most == nil { throw .settings("\(known: path) must be at least \(known: low)") }
        throw .settings(
            least == nil
                ? "\(known: path) must be at most \(known: high)"
                : "\(known: path) must be \(known: low) to \(known: high)")
    }

    /// Given on as seconds.
    private func checkDuration(_ value: TapeView, _ field: TapeView, _ path: String) throws(Fault) {
        guard let text = value.bytes, let milliseconds = SettingSyntax.milliseconds(text.string) else {
            throw .settings("\(known: path) must be a duration such as 250ms or 5s")
        }
        try checkRange(Double(milliseconds) / 1000, field, path)
        var seconds = mg_value()
        seconds.kind = milliseconds % 1000 == 0 ? MG_INTEGER : MG_NUMBER
        if milliseconds % 1000 == 0 {
            seconds.integer = milliseconds / 1000
        } else {
            seconds.number = Double(milliseconds) / 1000
        }
        try push(seconds)
    }

    /// Given on as bytes.
    private func checkSize(_ value: TapeView, _ field: TapeView, _ path: String) throws(Fault) {
        let text = value.bytes?.string ?? value.integer.map(String.init)
        guard let text, let bytes = SettingSyntax.bytes(text) else {
            throw .settings("\(known: path) must be a size such as 64KiB or 4MiB")
        }
        try checkRange(Double(bytes), field, path)
        var size = mg_value()
        size.kind = MG_INTEGER
        size.integer = Int64(bytes)
        try push(size)
    }

    // MARK: Containers

    private func checkList(_ value: TapeView, _ field: TapeView, _ path: String) throws(Fault) {
        let isSingle = !value.isContainer && field.member("single")?.bool == true
        guard let elements = isSingle ? [value] : value.elements else {
            throw .settings("\(known: path) must be a list")
        }
        guard !elements.isEmpty || field.member("empty")?.bool != false else {
            throw .settings("\(known: path) is empty")
        }
        try mark(MG_LIST)
        for (index, element) in elements.enumerated() {
            try check(element, of: field, isSingle ? path : "\(path)[\(index + 1)]")
        }
        try mark(MG_END)
    }

    private func checkMap(_ value: TapeView, _ field: TapeView, _ path: String) throws(Fault) {
        guard value.kind == MG_TABLE, value.entries.allSatisfy({ $0.key.bytes != nil }) else {
            throw .settings("\(known: path) must be a map")
        }
        try mark(MG_TABLE)
        // Names of a map may be keys that let somebody in: messages have their place instead.
        for (index, (name, element)) in SettingsSchema.named(value).enumerated() {
            try copyName(name, of: value)
            try check(element, of: field, "\(path)[name \(index + 1)]")
        }
        try mark(MG_END)
    }

    private func check(_ element: TapeView, of field: TapeView, _ path: String) throws(Fault) {
        guard let type = field.member("of") else { return try copy(element) }
        try check(element, type, path)
    }

    // MARK: Parts

    /// In the order of names: messages come out the same every time.
    private static func named(_ table: TapeView) -> [(name: String, value: TapeView)] {
        table.entries.compactMap { entry in entry.key.bytes.map { ($0.string, entry.value) } }
            .sorted { $0.name < $1.name }
    }

    /// The name as it stands in the table, which outlives the tape.
    private func copyName(_ name: String, of table: TapeView) throws(Fault) {
        if let key = table.entries.first(where: { $0.key.bytes?.string == name })?.key { try copy(key) }
    }

    private func copy(_ value: TapeView) throws(Fault) {
        guard value.copy(to: output) else { throw .settings("the settings are too large") }
    }

    private func mark(_ kind: mg_kind) throws(Fault) {
        var value = mg_value()
        value.kind = kind
        try push(value)
    }

    private func push(_ value: mg_value) throws(Fault) {
        guard mg_tape_push(output, value) else { throw .settings("the settings are too large") }
    }
}
