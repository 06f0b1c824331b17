/// A place in a configuration file. Lines and columns count from 1; 0 means unknown.
public struct SourceLocation: Sendable, Hashable {
    public var file: String
    public var line: Int
    public var column: Int
    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }
    public static let unknown = SourceLocation(file: "", line: 0, column: 0)
}
