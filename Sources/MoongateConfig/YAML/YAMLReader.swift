/// Reads YAML text into a tree of `YAMLNode`, or entry by entry, within `YAMLLimits`, and reports what is not YAML.
///
/// Aliases stand for the tree that was read before; nothing is copied for them, but their values count, and so does their
/// depth. Recursion is as deep as `YAMLLimits.depth`.
struct YAMLReader {
    /// The kind of a text at its outermost level.
    enum Root {
        /// There is no document, or it is an empty value.
        case nothing
        case mapping(YAMLMark)
        case list(YAMLMark)
        case scalar(YAMLNode)
    }

    /// Ends the reading, after a report.
    private struct Stop: Error {}

    /// A value, and how deep it is: 1 for a scalar.
    private struct Built {
        var node: YAMLNode
        var height: Int
    }

    private struct Anchored {
        var built: Built
        var nodes: Int
    }

    private let file: String
    private let text: UnsafeBufferPointer<UInt8>
    private let events: YAMLEvents
    private let limits: YAMLLimits
    private(set) var diagnostics: [Diagnostic] = []
    private var anchors: [String: Anchored] = [:]
    private var nodes = 0
    private var repeatedKeys = 0

    private init?(_ text: UnsafeBufferPointer<UInt8>, file: String, limits: YAMLLimits) {
        guard let events = YAMLEvents(text) else { return nil }
        self.file = file
        self.text = text
        self.events = events
        self.limits = limits
    }

    /// The root of the document and what is wrong with it; without a root and diagnostics there is no document.
    static func read(_ text: String, file: String) -> (root: YAMLNode?, diagnostics: [Diagnostic]) {
        var text = text
        guard text.utf8.count <= YAMLLimits.bytes else { return (nil, [tooLarge(file, "16 MiB")]) }
        return text.withUTF8 { text in
            guard var reader = YAMLReader(text, file: file, limits: YAMLLimits()) else {
                return (nil, [noMemory(file)])
            }
            let root = reader.document { reader, event throws(Stop) in try reader.value(event, depth: 1).node }
            return (root, reader.diagnostics)
        }
    }

    /// Reads a list or a mapping and gives each of its entries away as soon as it is read; the elements of a list have no
    /// key. Keys that `<<` brings in come last.
    static func readEntries(
        _ text: UnsafeBufferPointer<UInt8>, file: String, _ take: (_ key: String?, YAMLNode, YAMLMark) -> Void
    ) -> (root: Root, diagnostics: [Diagnostic]) {
        guard var reader = YAMLReader(text, file: file, limits: .list) else { return (.nothing, [noMemory(file)]) }
        let root = reader.document { reader, event throws(Stop) in
            switch event.kind {
            case .mappingStart:
                _ = try reader.entries(event, depth: 1) { entry in
                    let mark = YAMLMark(line: entry.keyLocation.line, column: entry.keyLocation.column)
                    take(entry.key, entry.value, mark)
                }
                return Root.mapping(event.mark)
            case .listStart:
                _ = try reader.elements(event, depth: 1) { node in
                    take(nil, node, YAMLMark(line: node.location.line, column: node.location.column))
                }
                return Root.list(event.mark)
            default:
                let node = try reader.value(event, depth: 1).node
                return node.isNull ? Root.nothing : Root.scalar(node)
            }
        }
        return (root ?? .nothing, reader.diagnostics)
    }

    static func tooLarge(_ file: String, _ limit: String) -> Diagnostic {
        Diagnostic(
            location: SourceLocation(file: file, line: 0, column: 0), message: "the file is larger than \(limit)")
    }

    private static func noMemory(_ file: String) -> Diagnostic {
        Diagnostic(location: SourceLocation(file: file, line: 0, column: 0), message: "no memory to read the file")
    }

    // MARK: The text

    /// `nil`: there is no document, or reading has stopped after a report.
    private mutating func document<Value>(
        _ read: (inout YAMLReader, YAMLEvent) throws(Stop) -> Value
    ) -> Value? {
        do throws(Stop) {
            guard var event = try nextOfDocument() else { return nil }
            let value = try read(&self, event)
            // Behind the first document only its end and that of the stream may follow.
            repeat { event = try next() } while !event.endsFirstDocument
            if case .documentStart = event.kind {
                report(event.mark, "not YAML: the file holds more than one document")
                return nil
            }
            return value
        } catch {
            return nil
        }
    }

    /// The first step of the first document; `nil`: there is none.
    private mutating func nextOfDocument() throws(Stop) -> YAMLEvent? {
        while true {
            let event = try next()
            switch event.kind {
            case .streamEnd: return nil
            case .documentStart: return try next()
            default: continue
            }
        }
    }

    private mutating func next() throws(Stop) -> YAMLEvent {
        do throws(YAMLSyntaxFault) {
            return try events.next()
        } catch {
            diagnostics.append(error.diagnostic(in: text, file: file))
            throw Stop()
        }
    }

    // MARK: Values

    private mutating func value(_ event: YAMLEvent, depth: Int) throws(Stop) -> Built {
        guard depth <= YAMLLimits.depth else {
            report(event.mark, "nested deeper than \(YAMLLimits.depth) levels")
            throw Stop()
        }
        let before = nodes
        try count(1, at: event.mark)
        checkTag(event)
        let built: Built
        switch event.kind {
        case .alias(let name): return try alias(name, event.mark, depth: depth)
        case .listStart:
            var list: [YAMLNode] = []
            let height = try elements(event, depth: depth) { list.append($0) }
            built = Built(node: YAMLNode(location: location(event.mark), content: .list(list)), height: height + 1)
        case .mappingStart:
            var mapping: [YAMLEntry] = []
            let height = try entries(event, depth: depth) { mapping.append($0) }
            built = Built(
                node: YAMLNode(location: location(event.mark), content: .mapping(mapping)), height: height + 1)
        case .scalar(let text, let isPlain):
            let scalar = YAMLScalar(text: text, isPlain: isPlain && event.tag != YAMLTag.text)
            built = Built(node: YAMLNode(location: location(event.mark), content: .scalar(scalar)), height: 1)
        case .documentStart, .streamEnd, .listEnd, .mappingEnd, .other:
            report(event.mark, "not YAML: a value is missing")
            throw Stop()
        }
        if let anchor = event.anchor { anchors[anchor] = Anchored(built: built, nodes: nodes - before) }
        return built
    }

    private mutating func alias(_ name: String, _ mark: YAMLMark, depth: Int) throws(Stop) -> Built {
        guard let anchored = anchors[name] else {
            let fault = YAMLSyntaxFault(problem: "found undefined alias", context: nil, place: .mark(mark))
            diagnostics.append(fault.diagnostic(in: text, file: file))
            throw Stop()
        }
        try count(anchored.nodes - 1, at: mark)
        guard depth + anchored.built.height - 1 <= YAMLLimits.depth else {
            report(mark, "nested deeper than \(YAMLLimits.depth) levels")
            throw Stop()
        }
        return anchored.built
    }

    private mutating func count(_ more: Int, at mark: YAMLMark) throws(Stop) {
        nodes += more
        guard nodes > limits.nodes else { return }
        report(mark, "more than \(limits.nodesText) values", "aliases count every time they are used")
        throw Stop()
    }

    /// Reads up to the list's end. Gives the height of its highest element.
    private mutating func elements(
        _ start: YAMLEvent, depth: Int, _ take: (YAMLNode) -> Void
    ) throws(Stop) -> Int {
        var height = 0
        while true {
            let event = try next()
            if case .listEnd = event.kind { return height }
            let element = try value(event, depth: depth + 1)
            height = max(height, element.height)
            take(element.node)
        }
    }

    /// Reads up to the mapping's end. Gives the height of its highest value.
    private mutating func entries(
        _ start: YAMLEvent, depth: Int, _ take: (YAMLEntry) -> Void
    ) throws(Stop) -> Int {
        var height = 0
        var lines: [String: Int] = [:]
        var merged: [YAMLEntry] = []
        while true {
            let event = try next()
            if case .mappingEnd = event.kind { break }
            let isPlain = event.isPlain
            let key = try value(event, depth: depth + 1)
            let value = try value(try next(), depth: depth + 1)
            height = max(height, value.height)
            guard case .scalar(let scalar) = key.node.content else {
                report(event.mark, "a key has to be text, not \(key.node.kind)")
                continue
            }
            let name = scalar.text
            if let first = lines[name] {
                try reportRepeated(name, event.mark, first)
            } else if name == "<<", isPlain {
                merged += mergedEntries(value.node)
            } else {
                take(YAMLEntry(key: name, keyLocation: location(event.mark), value: value.node))
            }
            lines[name] = event.mark.line
        }
        for entry in merged where lines[entry.key] == nil {
            lines[entry.key] = entry.keyLocation.line
            take(entry)
        }
        return height
    }

    private mutating func reportRepeated(_ name: String, _ mark: YAMLMark, _ first: Int) throws(Stop) {
        report(mark, "a key is given more than once", "it stands in line \(first) already")
        repeatedKeys += 1
        if repeatedKeys == YAMLLimits.repeatedKeys { throw Stop() }
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

    private mutating func checkTag(_ event: YAMLEvent) {
        guard let tag = event.tag, !YAMLTag.known.contains(tag) else { return }
        report(event.mark, "tags are not supported", "write the value without its tag")
    }

    // MARK: Reports

    private func location(_ mark: YAMLMark) -> SourceLocation {
        SourceLocation(file: file, line: mark.line, column: mark.column)
    }

    private mutating func report(_ mark: YAMLMark, _ message: String, _ hint: String? = nil) {
        diagnostics.append(Diagnostic(location: location(mark), message: message, hint: hint))
    }
}

/// The tags that say nothing but what a value is anyway.
private enum YAMLTag {
    static let text = "tag:yaml.org,2002:str"
    static let known: Set<String> = ["", "!", text, "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"]
}

extension YAMLEvent {
    fileprivate var endsFirstDocument: Bool {
        switch kind {
        case .streamEnd, .documentStart: true
        default: false
        }
    }

    fileprivate var isPlain: Bool {
        if case .scalar(_, let isPlain) = kind { return isPlain }
        return false
    }
}
