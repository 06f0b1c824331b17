import Foundation

/// The path of a file or folder, made absolute once, where a command takes it.
///
/// Folders of files, data files of policies, messages and the file watch all follow from it, so that none of them depends on
/// the folder in which the process was started.
public struct AbsolutePath: Sendable, Hashable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// Begins with a slash.
    public let text: String
    /// As it was written, for messages to those who wrote it.
    public let given: String

    private init(text: String, given: String) {
        self.text = text
        self.given = given
    }

    /// `nil`: the path is empty, holds a NUL, or is relative to a folder that does not exist any more.
    ///
    /// `..` stays as it is, since a symbolic link may stand before it.
    public init?(_ given: String, in folder: String = FileManager.default.currentDirectoryPath) {
        guard !given.isEmpty, !given.utf8.contains(0) else { return nil }
        guard !given.hasPrefix("/") else {
            self.init(text: given, given: given)
            return
        }
        guard folder.hasPrefix("/") else { return nil }
        var rest = given[...]
        while rest.hasPrefix("./") { rest = rest.dropFirst(2).drop { $0 == "/" } }
        let isFolder = rest.isEmpty || rest == "."
        let start = folder.hasSuffix("/") ? String(folder.dropLast()) : folder
        self.init(text: isFolder ? folder : "\(start)/\(rest)", given: given)
    }

    /// A path that stands in the source. One that cannot be made absolute is taken from the root.
    public init(stringLiteral given: String) {
        self = AbsolutePath(given) ?? AbsolutePath(text: "/" + given, given: given)
    }

    /// The folder that the file lies in.
    public var folder: String {
        guard let slash = text.lastIndex(of: "/"), slash > text.startIndex else { return "/" }
        var folder = String(text[..<slash])
        while folder.hasSuffix("/.") || folder.hasSuffix("/") { folder.removeLast() }
        return folder.isEmpty ? "/" : folder
    }

    /// A file or folder in this folder.
    public func appending(_ name: String) -> AbsolutePath {
        let start = given == "." ? "" : given.hasSuffix("/") ? given : given + "/"
        return AbsolutePath(text: text.hasSuffix("/") ? text + name : "\(text)/\(name)", given: start + name)
    }

    /// As it was written.
    public var description: String { given }

    /// Two spellings of one path are equal.
    public static func == (one: AbsolutePath, other: AbsolutePath) -> Bool { one.text == other.text }
    public func hash(into hasher: inout Hasher) { hasher.combine(text) }
}
