/// How policies' settings are written where they are no plain values: the same way as in the rest of the file.
public enum SettingSyntax {
    /// Milliseconds of a duration such as `250ms` or `1m30s`; `nil` if it is none.
    public static func milliseconds(_ text: String) -> Int64? {
        guard let duration = try? DurationSyntax.parse(text) else { return nil }
        let (seconds, attoseconds) = duration.components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }

    /// Bytes of a size such as `64KiB` or `1000`; `nil` if it is none.
    public static func bytes(_ text: String) -> Int? { try? SizeSyntax.parse(text) }
}
