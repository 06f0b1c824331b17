/// A kind of value in the file: what it looks like, how it is read, and how one is written.
struct ValueType<Value> {
    let shape: Shape
    /// Reads a value; `nil` if it is faulty, after at least one report.
    let read: (YAMLNode, inout Decoding) -> Value?
    /// The value as it would stand in a file, for the reference's column of defaults; `nil` where none is shown.
    let write: (Value) -> String?

    init(
        _ shape: Shape, write: @escaping (Value) -> String? = { _ in nil },
        read: @escaping (YAMLNode, inout Decoding) -> Value?
    ) {
        self.shape = shape
        self.write = write
        self.read = read
    }

    /// The same look, read further into another type.
    func map<Other>(
        write: @escaping (Other) -> String? = { _ in nil },
        _ next: @escaping (Value, YAMLNode, inout Decoding) -> Other?
    ) -> ValueType<Other> {
        ValueType<Other>(shape, write: write) { node, decoding in
            guard let value = read(node, &decoding) else { return nil }
            return next(value, node, &decoding)
        }
    }
}

/// A text that does not have the form it should have.
struct SyntaxFault: Error {
    let message: String
    var hint: String?
    /// Whether message or hint may hold a part of the text, so that they are told for fields that may be shown alone.
    let quotes: Bool

    init(_ message: String, hint: String? = nil) { self.init(message, hint: hint, quotes: true) }

    /// A fault of which everything told is fixed.
    static func plain(_ message: StaticString, hint: StaticString? = nil) -> SyntaxFault {
        SyntaxFault(message.description, hint: hint?.description, quotes: false)
    }

    /// - Parameter suggestion: what is known and near to the text.
    static func unknownVariable(_ suggestion: String?, among known: [String]) -> SyntaxFault {
        let hint = suggestion ?? "there is \(known.joined(separator: ", "))"
        return SyntaxFault("the value has a variable that does not exist", hint: hint, quotes: false)
    }

    private init(_ message: String, hint: String?, quotes: Bool) {
        self.message = message
        self.hint = hint
        self.quotes = quotes
    }
}

extension ValueType {
    /// A text with a form of its own.
    ///
    /// - Parameter expected: what to call it in a message: `a duration such as 250ms`.
    static func text(
        _ shape: TextShape, expected: String, write: @escaping (Value) -> String? = { _ in nil },
        parse: @escaping (String, Decoding) throws(SyntaxFault) -> Value
    ) -> ValueType {
        ValueType(.text(shape), write: write) { node, decoding in
            guard case .scalar(let scalar) = node.content, scalar.value != .null else {
                decoding.reportMismatch(node, expected: expected)
                return nil
            }
            do throws(SyntaxFault) {
                return try parse(scalar.text, decoding)
            } catch {
                if shape.isShown || !error.quotes {
                    decoding.report(node.location, error.message, hint: error.hint)
                } else {
                    decoding.report(node.location, "expected \(expected); what stands here is not shown")
                }
                return nil
            }
        }
    }

    /// A list of at least `count` values.
    ///
    /// - Parameter identity: what no two elements may share, such as their name.
    static func list<Element>(
        of element: ValueType<Element>, atLeast count: Int = 0, emptyHint: String? = nil,
        identity: ((Element) -> String)? = nil
    ) -> ValueType where Value == [Element] {
        let write: ([Element]) -> String? = { $0.isEmpty ? "[]" : nil }
        return ValueType(.list(of: element.shape, atLeast: count), write: write) { node, decoding in
            guard case .list(let nodes) = node.content else {
                let hint = node.isNull ? nil : "write each element on a line after \"- \""
                decoding.reportMismatch(node, expected: "a list", hint: hint)
                return nil
            }
            if nodes.count < count {
                decoding.report(node.location, "the list needs at least one element", hint: emptyHint)
            }
            var elements: [Element] = []
            var seen: Set<String> = []
            for node in nodes {
                guard let value = element.read(node, &decoding) else { continue }
                if let name = identity?(value), !seen.insert(name).inserted {
                    decoding.report(node.location, "\(quoted(name)) stands in this list more than once")
                }
                elements.append(value)
            }
            return elements
        }
    }

    /// A mapping from names to values, in the order of the file.
    static func dictionary<Element>(
        of element: ValueType<Element>, keys: TextShape, each: @escaping (YAMLEntry, inout Decoding) -> Bool,
        name: @escaping (inout Element, String) -> Void
    ) -> ValueType where Value == [Element] {
        ValueType(.dictionary(of: element.shape, keys: keys), write: { $0.isEmpty ? "{}" : nil }) { node, decoding in
            guard case .mapping(let entries) = node.content else {
                decoding.reportMismatch(node, expected: "a mapping from names to values")
                return nil
            }
            return entries.compactMap { entry in
                let isNamed = each(entry, &decoding)
                guard var value = element.read(entry.value, &decoding), isNamed else { return nil }
                name(&value, entry.key)
                return value
            }
        }
    }

    /// One of a few words.
    static func choice() -> ValueType
    where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
        let names = Value.allCases.map(\.rawValue)
        return ValueType(.choice(names), write: { $0.rawValue }) { node, decoding in
            let list = names.map(quoted).joined(separator: " or ")
            guard case .scalar(let scalar) = node.content, scalar.value != .null else {
                decoding.reportMismatch(node, expected: list)
                return nil
            }
            if let value = Value(rawValue: scalar.text) { return value }
            decoding.report(
                node.location, "\(quoted(scalar.text)) is none of \(list)",
                hint: Spelling.suggestion(for: scalar.text, among: names))
            return nil
        }
    }
}

extension ValueType<Int> {
    static func integer(_ range: ClosedRange<Int>) -> ValueType {
        ValueType(.integer(range), write: { String($0) }) { node, decoding in
            guard case .scalar(let scalar) = node.content else {
                decoding.reportMismatch(node, expected: "a whole number")
                return nil
            }
            let isText = scalar.value == .text && Int(scalar.text) != nil
            switch scalar.value {
            case .integer(let number):
                if let value = Int(exactly: number), range.contains(value) { return value }
                fallthrough
            case .hugeInteger:
                decoding.report(
                    node.location,
                    "\(shortened(scalar.text)) is out of range: \(range.lowerBound) to \(range.upperBound)")
            default:
                decoding.reportMismatch(
                    node, expected: "a whole number", hint: isText ? "remove the quotation marks" : nil)
            }
            return nil
        }
    }
}

extension ValueType<Void> {
    /// The word `true`, for keys whose presence says everything.
    static func alwaysTrue(insteadOfFalse hint: String) -> ValueType {
        ValueType(.alwaysTrue) { node, decoding in
            guard case .scalar(let scalar) = node.content, scalar.value == .bool(true) else {
                decoding.reportMismatch(node, expected: "true", hint: hint)
                return nil
            }
            return ()
        }
    }
}
