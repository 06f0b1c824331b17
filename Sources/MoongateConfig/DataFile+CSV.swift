extension DataFile {
    /// A table of texts as RFC 4180 has it: the first record names the columns, every further one becomes a table by these
    /// names. Empty lines are left out.
    public static func csv(_ bytes: [UInt8], path: String) throws(DiagnosticList) -> SettingValue {
        _ = try text(bytes, path: path)
        var reader = CSVReader(bytes: bytes, path: path)
        guard let header = try reader.record() else { return .list([]) }
        guard Set(header.fields).count == header.fields.count, !header.fields.contains("") else {
            throw reader.fault(header.line, "the first line must name every column, each by another name")
        }
        var rows: [SettingValue] = []
        while let record = try reader.record() {
            guard record.fields.count == header.fields.count else {
                throw reader.fault(
                    record.line, "expected \(header.fields.count) fields, found \(record.fields.count)")
            }
            rows.append(
                .table(
                    zip(header.fields, record.fields).map { SettingValue.Entry(key: $0, value: .string($1)) }))
        }
        return .list(rows)
    }
}

/// Takes records apart. Quotation marks may enclose a field, and stand in it twice.
private struct CSVReader {
    let bytes: [UInt8]
    let path: String
    private var place = 0
    private var line = 1

    init(bytes: [UInt8], path: String) {
        self.bytes = bytes
        self.path = path
        // What some programs put in front of UTF-8.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { place = 3 }
    }

    func fault(_ line: Int, _ message: String) -> DiagnosticList {
        DiagnosticList([Diagnostic(location: SourceLocation(file: path, line: line, column: 1), message: message)])
    }

    /// The next record that is no empty line; `nil` at the end.
    mutating func record() throws(DiagnosticList) -> (line: Int, fields: [String])? {
        while takeLineEnd() {}
        guard place < bytes.count else { return nil }
        let start = line
        var fields = [try field()]
        while place < bytes.count, !takeLineEnd() {
            // A field ends at a comma, a line end or the end of the file only.
            place += 1
            fields.append(try field())
        }
        return (start, fields)
    }

    private mutating func field() throws(DiagnosticList) -> String {
        guard place < bytes.count, bytes[place] == UInt8(ascii: "\"") else {
            let start = place
            while place < bytes.count, bytes[place] != UInt8(ascii: ","), !isLineEnd {
                guard bytes[place] != UInt8(ascii: "\"") else {
                    throw fault(line, "a quotation mark stands within a field that does not begin with one")
                }
                place += 1
            }
            return String(decoding: bytes[start..<place], as: UTF8.self)
        }
        return try quotedField()
    }

    private mutating func quotedField() throws(DiagnosticList) -> String {
        let start = line
        var value: [UInt8] = []
        place += 1
        while place < bytes.count {
            let byte = bytes[place]
            place += 1
            if byte == UInt8(ascii: "\"") {
                guard place < bytes.count, bytes[place] == UInt8(ascii: "\"") else {
                    guard place == bytes.count || bytes[place] == UInt8(ascii: ",") || isLineEnd else {
                        throw fault(line, "there is more behind the quotation mark that ends the field")
                    }
                    return String(decoding: value, as: UTF8.self)
                }
                place += 1
            }
            if byte == 0x0a { line += 1 }
            value.append(byte)
        }
        throw fault(start, "the quotation mark is not closed")
    }

    private var isLineEnd: Bool {
        bytes[place] == 0x0a || (bytes[place] == 0x0d && (place + 1 == bytes.count || bytes[place + 1] == 0x0a))
    }

    private mutating func takeLineEnd() -> Bool {
        guard place < bytes.count, isLineEnd else { return false }
        if bytes[place] == 0x0d { place += 1 }
        if place < bytes.count, bytes[place] == 0x0a { place += 1 }
        line += 1
        return true
    }
}
