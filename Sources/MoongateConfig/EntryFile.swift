/// Reads a file of many entries, such as users, keys or networks, one after the other: a hundred thousand of them take no
/// tree of everything.
///
/// `.yaml`, `.yml` and `.json` hold a mapping or a list (JSON is YAML); every other file is a list of its lines.
public enum EntryFile {
    /// The kind of the file at its outermost level.
    public enum Root: Sendable, Equatable {
        case mapping
        case list
        /// A single value.
        case scalar
        case nothing
    }

    public struct Entry: Sendable {
        /// `nil`: an element of a list.
        public let name: String?
        public let value: SettingValue
        public let location: SourceLocation
    }

    /// Gives each entry away as soon as it is read.
    ///
    /// - Parameters:
    ///   - bytes: the contents, which have to be UTF-8.
    ///   - path: of the file, for its ending and for messages.
    ///   - take: also gets entries of a file that turns out to be wrong later.
    /// - Throws: everything that is wrong with the file, keys that are given twice among it.
    public static func read(
        _ bytes: [UInt8], path: String, _ take: (Entry) -> Void
    ) throws(DiagnosticList) -> Root {
        guard bytes.count <= YAMLLimits.listBytes else {
            throw DiagnosticList([YAMLReader.tooLarge(path, "64 MiB")])
        }
        guard isText(bytes) else { throw DiagnosticList([ConfigurationParser.invalidText(bytes, file: path)]) }
        guard DataFile.isStructured(path) else {
            bytes.withUnsafeBufferPointer { readLines($0, path, take) }
            return .list
        }
        let isJSON = path.lowercased().hasSuffix(".json")
        let text = isJSON ? JSONEscapes.joiningSurrogates(bytes) : bytes
        let result = text.withUnsafeBufferPointer { readYAML($0, path, take) }
        return try result.get()
    }

    private static func isText(_ bytes: [UInt8]) -> Bool {
        do {
            _ = try UTF8Span(validating: bytes.span)
            return true
        } catch {
            return false
        }
    }

    private static func readLines(_ bytes: UnsafeBufferPointer<UInt8>, _ path: String, _ take: (Entry) -> Void) {
        for line in DataLines(bytes) {
            let location = SourceLocation(file: path, line: line.number, column: 1)
            take(Entry(name: nil, value: .string(line.text), location: location))
        }
    }

    private static func readYAML(
        _ bytes: UnsafeBufferPointer<UInt8>, _ path: String, _ take: (Entry) -> Void
    ) -> Result<Root, DiagnosticList> {
        var decoding = Decoding(file: path, folder: "")
        let (root, faults) = YAMLReader.readEntries(bytes, file: path) { name, node, mark in
            guard let value = SettingValue(node, &decoding) else { return }
            let location = SourceLocation(file: path, line: mark.line, column: mark.column)
            take(Entry(name: name, value: value, location: location))
        }
        let diagnostics = faults + decoding.diagnostics
        guard diagnostics.isEmpty else { return .failure(DiagnosticList(diagnostics)) }
        switch root {
        case .mapping: return .success(.mapping)
        case .list: return .success(.list)
        case .scalar: return .success(.scalar)
        case .nothing: return .success(.nothing)
        }
    }
}

/// JSON writes characters beyond U+FFFF as two escapes, which YAML does not know.
enum JSONEscapes {
    /// With `\ud83d\ude00` written as `\U0001F600`; lines stay where they are.
    static func joiningSurrogates(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(UInt8(ascii: "\\")) else { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var place = 0
        while place < bytes.count {
            guard bytes[place] == UInt8(ascii: "\\") else {
                result.append(bytes[place])
                place += 1
                continue
            }
            if let high = unit(bytes, place), high & 0xFC00 == 0xD800, let low = unit(bytes, place + 6),
                low & 0xFC00 == 0xDC00
            {
                let digits = String(0x10000 + (high & 0x3FF) << 10 + low & 0x3FF, radix: 16)
                result += Array("\\U\(String(repeating: "0", count: 8 - digits.count))\(digits)".utf8)
                place += 12
            } else {
                // The character behind the backslash belongs to it, another backslash as well.
                result += bytes[place..<min(place + 2, bytes.count)]
                place += 2
            }
        }
        return result
    }

    /// The number of an escape `\uXXXX` that stands here.
    private static func unit(_ bytes: [UInt8], _ place: Int) -> Int? {
        guard place + 6 <= bytes.count, bytes[place] == UInt8(ascii: "\\"), bytes[place + 1] == UInt8(ascii: "u") else {
            return nil
        }
        let digits = bytes[(place + 2)..<(place + 6)]
        guard digits.allSatisfy({ Unicode.Scalar($0).properties.isASCIIHexDigit }) else { return nil }
        return Int(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}
