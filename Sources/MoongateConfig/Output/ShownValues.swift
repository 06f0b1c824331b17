/// Which texts of a configuration value may be shown: those whose form the schema marks so.
///
/// Follows the schema while a view follows the value. Where the two do not meet, nothing is shown.
struct ShownValues {
    /// The schema of this place; empty: there is none.
    private let shapes: [Shape]

    init(_ shape: Shape) { self.init(shapes: [shape]) }

    private init(shapes: [Shape]) { self.shapes = shapes.flatMap(ShownValues.plain) }

    /// Whether a text that stands here may be shown.
    var isShown: Bool {
        shapes.contains { if case .text(let text) = $0 { text.isShown } else { false } }
            && shapes.allSatisfy { if case .text(let text) = $0 { text.isShown } else { true } }
    }

    /// The schema of a member. Names that the file does not have, such as those of the cases of a Swift type, stay at
    /// the same place.
    func member(_ key: String) -> ShownValues {
        var found: [Shape] = []
        for case .mapping(let mapping) in shapes {
            found += mapping.fields.filter { $0.key == ShownValues.inFile[key] ?? key }.map(\.shape)
        }
        if key == "name" { for case .dictionary(_, let keys) in shapes { found.append(.text(keys)) } }
        return found.isEmpty ? self : ShownValues(shapes: found)
    }

    /// Keys of the file that the values call otherwise.
    private static let inFile = [
        "mirrors": "mirror", "trust": "ca", "authorities": "ca", "revocation_lists": "crl",
    ]

    /// The shapes of single values: elements in place of lists.
    private static func plain(_ shape: Shape) -> [Shape] {
        switch shape {
        case .list(let element, _): plain(element)
        case .singleton(let element, _): plain(element)
        case .either(let shapes): shapes.flatMap(plain)
        case .dictionary(let element, _): [shape] + plain(element)
        default: [shape]
        }
    }
}
