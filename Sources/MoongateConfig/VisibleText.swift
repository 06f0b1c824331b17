/// Which characters do something to a terminal or a viewer instead of being seen there.
///
/// A text that is logged or printed may come from a client, an upstream or a script: with these characters it could
/// colour, move, hide or reorder what stands around it.
extension Unicode.Scalar {
    /// Control characters (C0, DEL, C1), line and paragraph separators, and marks that change the direction of text.
    @inlinable public var isHidden: Bool {
        switch value {
        case 0x00...0x1F, 0x7F...0x9F: true
        case 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}

extension StringProtocol {
    /// The text with every hidden character written as `\n`, `\t` or `\u{009B}`.
    ///
    /// - Parameter keepingLines: leaves line feeds and tabs as they are, for texts of several lines.
    public func visible(keepingLines: Bool = false) -> String {
        guard unicodeScalars.contains(where: \.isHidden) else { return String(self) }
        var result = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            if !scalar.isHidden || (keepingLines && (scalar == "\n" || scalar == "\t")) {
                result.append(scalar)
            } else {
                result.append(contentsOf: scalar.escaped(asASCII: true).unicodeScalars)
            }
        }
        return String(result)
    }
}
