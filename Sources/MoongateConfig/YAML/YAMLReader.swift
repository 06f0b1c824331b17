import Yams

/// Reads YAML text into a tree of `YAMLNode`, within `YAMLLimits`, and reports what is not YAML.
///
/// The YAML library stops at the first mapping that repeats a key. So that all faults are told in one go, the first
/// of the repeated keys is renamed in the text (one character, so that no column moves) and reading starts again;
/// the tree gets the true name back, and the repetition is reported with both places.
struct YAMLReader {
    private let file: String
    private var diagnostics: [Diagnostic] = []
    private var scalars: [Unicode.Scalar] = []
    private var renamed: [Place: Unicode.Scalar] = [:]
    private var nodes = 0

    private struct Place: Hashable {
        var line: Int
        var column: Int
    }

    /// The root of the document and what is wrong with it; without a root and diagnostics there is no document.
    static func read(_ text: String, file: String) -> (root: YAMLNode?, diagnostics: [Diagnostic]) {
        let result = RoomyStack.run {
            var reader = YAMLReader(file: file)
            let root = reader.read(text)
            return (root, reader.diagnostics)
        }
        let place = SourceLocation(file: file, line: 0, column: 0)
        return result ?? (nil, [Diagnostic(location: place, message: "no thread to read the file on")])
    }

    private init(file: String) { self.file = file }

    private mutating func read(_ text: String) -> YAMLNode? {
        guard text.utf8.count <= YAMLLimits.bytes else {
            report(nil, "the file is larger than 16 MiB")
            return nil
        }
        guard !AliasBomb.isPossible(in: text) else {
            report(nil, "too many aliases for a file with aliases, lists or mappings as keys", "use plain text as keys")
            return nil
        }
        guard let root = compose(text) else { return nil }
        return convert(root, depth: 1)
    }

    // MARK: Text to the library's nodes

    private mutating func compose(_ text: String) -> Node? {
        var text = text
        for attempt in 0...YAMLLimits.repeatedKeys {
            do {
                // Without rules every scalar stays text: types are ours to give, and the regular expressions slow.
                return try Yams.compose(yaml: text, .basic, .default, .utf8)
            } catch YamlError.duplicatedKeysInMapping(let duplicates, let context) {
                guard attempt < YAMLLimits.repeatedKeys, let key = duplicates.first,
                    let next = rename(key, at: context.mark, in: text, to: attempt)
                else {
                    report(context.mark, "a key is given more than once")
                    return nil
                }
                text = next
            } catch {
                diagnostics.append(YAMLSyntaxFault.diagnostic(for: error, text: text, file: file))
                return nil
            }
        }
        return nil
    }

    private mutating func rename(_ key: String, at mark: Mark, in text: String, to number: Int) -> String? {
        if scalars.isEmpty { scalars = Array(text.unicodeScalars) }
        guard let first = key.unicodeScalars.first, let stand = Unicode.Scalar(0xE000 + UInt32(number)),
            var index = index(of: mark)
        else { return nil }
        if scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index < scalars.count, scalars[index] == first else { return nil }
        scalars[index] = stand
        renamed[Place(line: mark.line, column: mark.column)] = first
        var result = String.UnicodeScalarView()
        result.append(contentsOf: scalars)
        return String(result)
    }

    private func index(of mark: Mark) -> Int? {
        var line = 1
        var index = 0
        while line < mark.line {
            guard index < scalars.count else { return nil }
            let scalar = scalars[index]
            index += 1
            // The line breaks that the library counts; "\r\n" is one.
            if scalar == "\r", index < scalars.count, scalars[index] == "\n" { index += 1 }
            if "\r\n\u{85}\u{2028}\u{2029}".unicodeScalars.contains(scalar) { line += 1 }
        }
        let place = index + mark.column - 1
        return place < scalars.count && place >= 0 ? place : nil
    }

    // MARK: The library's nodes to ours

    private mutating func convert(_ node: Node, depth: Int) -> YAMLNode? {
        nodes += 1
        // One report for each bound is enough: reading stops there.
        guard nodes <= YAMLLimits.nodes else {
            if nodes == YAMLLimits.nodes + 1 {
                report(node.mark, "more than 1,000,000 values", "aliases count every time they are used")
            }
            return nil
        }
        guard depth <= YAMLLimits.depth else {
            report(node.mark, "nested deeper than \(YAMLLimits.depth) levels")
            nodes = YAMLLimits.nodes + 1
            return nil
        }
        switch node {
        case .scalar(let scalar):
            return scalarNode(scalar)
        case .sequence(let sequence):
            checkTag(sequence.tag, at: sequence.mark)
            var elements: [YAMLNode] = []
            for element in sequence {
                guard let converted = convert(element, depth: depth + 1) else { return nil }
                elements.append(converted)
            }
            return YAMLNode(location: location(sequence.mark), content: .list(elements))
        case .mapping(let mapping):
            checkTag(mapping.tag, at: mapping.mark)
            return convert(mapping, depth: depth)
        case .alias(let alias):
            report(alias.mark, "an alias that stands for nothing")
            return nil
        }
    }

    private mutating func scalarNode(_ scalar: Node.Scalar) -> YAMLNode {
        checkTag(scalar.tag, at: scalar.mark)
        let isPlain = scalar.style == .plain && scalar.tag.rawValue != Tag.Name.str.rawValue
        return YAMLNode(
            location: location(scalar.mark), content: .scalar(YAMLScalar(text: scalar.string, isPlain: isPlain)))
    }

    private mutating func convert(_ mapping: Node.Mapping, depth: Int) -> YAMLNode? {
        var entries: [YAMLEntry] = []
        var places: [String: SourceLocation] = [:]
        var merged: [YAMLEntry] = []
        for (key, value) in mapping {
            guard let value = convert(value, depth: depth + 1) else { return nil }
            guard case .scalar(let scalar) = key else {
                report(key.mark, "a key has to be text, not \(key.sequence == nil ? "a mapping" : "a list")")
                continue
            }
            let name = trueName(of: scalar)
            let place = location(scalar.mark)
            if let first = places[name] {
                report(
                    scalar.mark, "a key is given more than once",
                    "it stands in line \(first.line) already")
            } else if name == "<<", scalar.style == .plain {
                merged += mergedEntries(value)
            } else {
                entries.append(YAMLEntry(key: name, keyLocation: place, value: value))
            }
            places[name] = place
        }
        for entry in merged where places[entry.key] == nil {
            places[entry.key] = entry.keyLocation
            entries.append(entry)
        }
        return YAMLNode(location: location(mapping.mark), content: .mapping(entries))
    }

    /// The keys that `<<` brings in: those of a mapping, or of a list of mappings, where the first one wins.
    private mutating func mergedEntries(_ value: YAMLNode) -> [YAMLEntry] {
        switch value.content {
        case .mapping(let entries):
            return entries
        case .list(let elements):
            return elements.flatMap { element -> [YAMLEntry] in
                guard case .mapping(let entries) = element.content else {
                    diagnostics.append(mergeFault(element))
                    return []
                }
                return entries
            }
        case .scalar:
            diagnostics.append(mergeFault(value))
            return []
        }
    }

    private func mergeFault(_ node: YAMLNode) -> Diagnostic {
        Diagnostic(
            location: node.location, message: "\"<<\" merges a mapping, but this is \(node.kind)",
            hint: "write <<: *name, where &name stands before a mapping")
    }

    private func trueName(of key: Node.Scalar) -> String {
        guard let mark = key.mark, let first = renamed[Place(line: mark.line, column: mark.column)] else {
            return key.string
        }
        return String(first) + String(key.string.unicodeScalars.dropFirst())
    }

    private mutating func checkTag(_ tag: Tag, at mark: Mark?) {
        let known: [Tag.Name] = [.implicit, .nonSpecific, .str, .seq, .map]
        guard !known.contains(where: { $0.rawValue == tag.rawValue }) else { return }
        report(mark, "tags are not supported", "write the value without its tag")
    }

    // MARK: Reports

    private func location(_ mark: Mark?) -> SourceLocation {
        SourceLocation(file: file, line: mark?.line ?? 0, column: mark?.column ?? 0)
    }

    private mutating func report(_ mark: Mark?, _ message: String, _ hint: String? = nil) {
        diagnostics.append(Diagnostic(location: location(mark), message: message, hint: hint))
    }
}
