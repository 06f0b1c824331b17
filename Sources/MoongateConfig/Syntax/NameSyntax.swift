/// Names that a file gives to listeners, routes, upstreams and policies, and paths of files.
enum NameSyntax {
    static let name = TextShape(name: "name", pattern: "^[!#-&(-\\[\\]-~]{1,128}$").shown

    /// Names end up in logs, metrics and scripts: visible ASCII, without quotation marks and backslashes.
    static func parse(_ text: String) throws(SyntaxFault) -> String {
        let isPlain = text.utf8.allSatisfy { (0x21...0x7E).contains($0) && !"\"'\\".utf8.contains($0) }
        guard (1...128).contains(text.utf8.count), isPlain else {
            throw SyntaxFault(
                "\(quoted(text)) is no name",
                hint: "1 to 128 visible ASCII characters without spaces, quotation marks and backslashes")
        }
        return text
    }

    static let policy = TextShape(name: "policy", pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]*$|\\.lua$").shown

    /// A name to be looked for in the policy path, or the path of a Lua file, made absolute.
    static func parsePolicy(_ text: String, folder: String) throws(SyntaxFault) -> String {
        if text.hasSuffix(".lua") { return try absolutePath(text, folder: folder) }
        let isName =
            (1...128).contains(text.utf8.count) && !text.hasPrefix(".") && !text.hasPrefix("-")
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
        guard isName else {
            throw SyntaxFault(
                "\(quoted(text)) is no policy", hint: "write a name such as header-auth, or a path ending in .lua")
        }
        return text
    }

    static let file = TextShape(name: "file path", pattern: "^.+$").shown

    /// The path as it is if absolute, else against the folder. `..` is left alone: a link may stand before it.
    static func absolutePath(_ text: String, folder: String) throws(SyntaxFault) -> String {
        guard !text.isEmpty else { throw SyntaxFault.plain("the path is empty") }
        guard !text.utf8.contains(0) else { throw SyntaxFault.plain("the path holds a NUL character") }
        if text.hasPrefix("/") { return text }
        var relative = text[...]
        while relative.hasPrefix("./") { relative = relative.dropFirst(2) }
        if relative.isEmpty || relative == "." { return folder }
        return folder.hasSuffix("/") ? folder + relative : folder + "/" + relative
    }
}
