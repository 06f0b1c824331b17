/// What is wrong with a JSON text, or with a value that should become one.
struct JSONFault: Error, CustomStringConvertible {
    let message: CallMessage
    /// Bytes before the place; `nil`: the fault has none.
    var offset: Int?

    var description: String { text.description }
    var text: CallMessage { offset.map { "\(message) at byte \($0 + 1)" } ?? message }

    /// The run that asked for the work is over its time limit.
    static let outOfTime = JSONFault(message: "the time limit is exceeded")
}
