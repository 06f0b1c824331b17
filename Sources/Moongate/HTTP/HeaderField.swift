/// One name and value. Bytes belong to the `HeaderList` that holds the field.
struct HeaderField {
    /// Lower case.
    var name: Bytes
    var value: Bytes
    var id: FieldName
    /// The sender asked that no hop ever puts it into a compression table (RFC 7541 §6.2.3).
    var neverIndexed: Bool
    /// Bytes that lie at `value` for it and for those that may take its place; 0: the value stays as it is.
    var room: UInt32 = 0
}
