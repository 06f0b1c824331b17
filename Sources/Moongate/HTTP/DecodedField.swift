/// A field as it came off the wire, valid while its section is decoded.
struct DecodedField {
    let id: FieldName
    let name: Bytes
    let value: Bytes
    /// Name and value are such as a message may have, see `FieldSyntax`.
    let isSound: Bool
    /// The sender asked that no hop ever puts it into a compression table (RFC 7541 §6.2.3).
    let neverIndexed: Bool
}
