import Testing

@testable import MoongateConfig

struct DataFileTests {
    private func parse(_ text: String, _ path: String = "users.yaml") throws -> SettingValue {
        try DataFile.parse(Array(text.utf8), path: path)
    }

    private func faults(_ text: String, _ path: String = "users.yaml") -> [String] {
        do {
            _ = try parse(text, path)
            return []
        } catch let list as DiagnosticList {
            return list.diagnostics.map(\.description)
        } catch {
            return ["\(error)"]
        }
    }

    @Test func usersFileBecomesATableInItsOrder() throws {
        let value = try parse(
            """
            users:
              zoe: {password: "$2b$10$abc", allow: ["helloworld.Greeter/*"]}
              adam:
                password: $y$j9T$abc
                admin: true
                quota: 10
                share: 0.5
                note:
            """)
        #expect(
            value
                == .table([
                    .init(
                        key: "users",
                        value: .table([
                            .init(
                                key: "zoe",
                                value: .table([
                                    .init(key: "password", value: .string("$2b$10$abc")),
                                    .init(key: "allow", value: .list([.string("helloworld.Greeter/*")])),
                                ])),
                            .init(
                                key: "adam",
                                value: .table([
                                    .init(key: "password", value: .string("$y$j9T$abc")),
                                    .init(key: "admin", value: .bool(true)),
                                    .init(key: "quota", value: .integer(10)),
                                    .init(key: "share", value: .number(0.5)),
                                    .init(key: "note", value: .null),
                                ])),
                        ]))
                ]))
    }

    @Test func jsonIsReadAsWritten() throws {
        let value = try parse("{\n\t\"a\\u00e9\\/\": [1, -2.5e3, null, false, \"x: y #z\"]\n}\n", "table.JSON")
        #expect(
            value
                == .table([
                    .init(
                        key: "aé/",
                        value: .list([.integer(1), .number(-2500), .null, .bool(false), .string("x: y #z")]))
                ]))
    }

    @Test func emptyFileIsAnEmptyTable() throws {
        #expect(try parse("") == .table([]))
        #expect(try parse("# nobody yet\n") == .table([]))
    }

    @Test func linesLoseBlanksAndComments() throws {
        let value = try parse("# blocked\r\n 10.0.0.0/8 \r\n\n\t::1\nlast # kept", "deny.txt")
        #expect(value == .list([.string("10.0.0.0/8"), .string("::1"), .string("last # kept")]))
        #expect(try parse("", "deny") == .list([]))
    }

    @Test func faultsTellTheirPlace() {
        #expect(faults("users:\n  a: {password: [}\n").first?.hasPrefix("users.yaml:2:18: not YAML: ") == true)
        #expect(
            faults("a: 1\na: 2\n").first?.hasPrefix("users.yaml:2:1: a key is given more than once") == true)
        #expect(faults("a: 99999999999999999999\n").first?.hasPrefix("users.yaml:1:4: ") == true)
        #expect(faults("a: *b\n").first?.hasPrefix("users.yaml:1:") == true)
    }

    @Test func textThatIsNotUTF8IsRefused() {
        let error = #expect(throws: DiagnosticList.self) {
            try DataFile.parse([0x61, 0x0A, 0x62, 0xFF], path: "deny.txt")
        }
        #expect(error?.description == "deny.txt:2:2: the file is not UTF-8 text")
    }

    @Test func hostileFilesEndInAFault() {
        #expect(!faults(String(repeating: "[", count: 100_000)).isEmpty)
        var bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<12 {
            let uses = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            bomb += "a\(level): &a\(level) [\(uses)]\n"
        }
        #expect(!faults(bomb).isEmpty)
    }
}
