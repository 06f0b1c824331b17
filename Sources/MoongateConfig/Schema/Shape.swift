/// What a value may look like, without the Swift type it is read into: the source of the JSON schema and of the
/// reference.
indirect enum Shape {
    /// `true` and nothing else: the presence of the key says everything.
    case alwaysTrue
    case integer(ClosedRange<Int>)
    case text(TextShape)
    case choice([String])
    case list(of: Shape, atLeast: Int)
    /// A mapping whose keys are names chosen by the user.
    case dictionary(of: Shape, keys: TextShape)
    case mapping(MappingShape)
    /// A mapping with one key, a name chosen by the user.
    case singleton(of: Shape, keys: TextShape)
    /// A mapping about which this schema says nothing.
    case anyMapping
    /// One of several shapes.
    case either([Shape])
}

/// A text with a form of its own, such as a duration.
struct TextShape {
    /// One or two words for the reference: `duration`, `host and port`.
    let name: String
    /// A regular expression in the dialect that JSON Schema shares with everyone (ECMA 262); `nil`: any text.
    var pattern: String?
    /// Whether numbers, `true` and `false` are taken as the text that stands there.
    var takesAnyScalar = false
    /// Smallest and largest value, for the reference: `1ms to 10m`.
    var range: String?
    /// Whether values may stand in messages and in what the admin listener shows. A text of which this is not said may be a
    /// secret.
    var isShown = false

    /// Texts of this form are no secrets.
    var shown: TextShape {
        var shape = self
        shape.isShown = true
        return shape
    }

    /// The same form where a value may have been put that is a secret.
    var hidden: TextShape {
        var shape = self
        shape.isShown = false
        return shape
    }

    func ranging(_ range: String) -> TextShape {
        var shape = self
        shape.range = range
        return shape
    }
}

/// A mapping with known keys.
struct MappingShape {
    /// What one is called: `listener`. Unique; the headline in the reference and the definition in the schema.
    let name: String
    let summary: String
    let fields: [FieldShape]
    let alternatives: [Alternatives]
}

struct FieldShape {
    let key: String
    let summary: String
    let shape: Shape
    let isRequired: Bool
    /// As one would write it; `nil`: there is none.
    let defaultText: String?
}

/// Groups of keys of which one mapping may use one group only.
struct Alternatives {
    let groups: [[String]]
    /// Whether one of the groups has to be there.
    let isRequired: Bool

    static func atMostOne(_ groups: [String]...) -> Alternatives { Alternatives(groups: groups, isRequired: false) }
    static func exactlyOne(_ groups: [String]...) -> Alternatives { Alternatives(groups: groups, isRequired: true) }
}
