/// What is wrong with a JSON text, or with a value that should become one.
struct JSONFault: Error, CustomStringConvertible {
    let message: String
    /// Bytes before the place; `nil`: the fault has none.
    var offset: Int?

    var description: String { offset.map { "\(message) at byte \($0 + 1)" } ?? message }
}
