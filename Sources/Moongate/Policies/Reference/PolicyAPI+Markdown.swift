/// The reference for people: `docs/policy-api.md`.
extension PolicyAPI {
    public static var markdown: String {
        var sections = [PolicyAPIText.preface, hookSection]
        for item in classes { sections.append(section(of: item)) }
        for library in libraries { sections.append(section(of: library)) }
        sections.append(PolicyAPIText.language)
        return sections.joined(separator: "\n")
    }

    private static var hookSection: String {
        var text =
            "## Hooks\n\nFunctions that a policy may define, none of them required. A file has one name of each.\n\n"
        text += "| Function | Called |\n|---|---|\n"
        for hook in hooks { text += row(hook.name, hook.type, hook.doc, hook.isEnvoys) }
        return text
    }

    private static func section(of item: Class) -> String {
        var text = "## \(item.name)\n\n\(item.summary)\n\n" + table(item.functions, title: "Method")
        if item.hasPairs { text += "\n`pairs(object)` goes through its contents.\n" }
        if let notes = PolicyAPIText.notes[item.name] { text += "\n\(notes)\n" }
        return text
    }

    private static func section(of library: Library) -> String {
        let name = library.name.isEmpty ? "Globals" : library.name
        let prefix = library.name.isEmpty ? "" : "\(library.name)."
        var text = "## \(name)\n\n\(library.summary)\n"
        let functions = library.functions.map { function in
            var named = function
            named.name = prefix + function.name
            return named
        }
        let plain = functions.filter { group(of: $0, prefix) == nil }
        if !plain.isEmpty { text += "\n" + table(plain, title: "Function") }
        var groups: [String] = []
        for function in functions {
            if let group = group(of: function, prefix), !groups.contains(group) { groups.append(group) }
        }
        for name in groups {
            text += "\n### \(prefix)\(name)\n\n"
            text += table(functions.filter { group(of: $0, prefix) == name }, title: "Function")
        }
        if !library.constants.isEmpty { text += "\n| Constant | Value |\n|---|---|\n" }
        for constant in library.constants { text += "| `\(prefix)\(constant.name)` | \(constant.value) |\n" }
        for null in library.nulls { text += "\n`\(prefix)\(null)` is JSON's null, as a value that tables can hold.\n" }
        if let notes = PolicyAPIText.notes[name] { text += "\n\(notes)\n" }
        return text
    }

    /// `json` of `moon.json.encode`; `nil` for `moon.hash`.
    private static func group(of function: Function, _ prefix: String) -> String? {
        let parts = function.name.dropFirst(prefix.count).split(separator: ".")
        return parts.count > 1 ? String(parts[0]) : nil
    }

    private static func table(_ functions: [Function], title: String) -> String {
        "| \(title) | |\n|---|---|\n"
            + functions.map { row($0.name, $0.type, $0.doc, $0.isEnvoys) }.joined()
    }

    private static func row(_ name: String, _ type: String, _ doc: String, _ isEnvoys: Bool) -> String {
        "| `\(escaped(name + type))`\(isEnvoys ? " ∘" : "") | \(escaped(doc)) |\n"
    }

    /// A bar would end the cell.
    private static func escaped(_ text: String) -> String {
        String(text.flatMap { $0 == "|" ? ["\\", "|"] : [$0] })
    }
}
