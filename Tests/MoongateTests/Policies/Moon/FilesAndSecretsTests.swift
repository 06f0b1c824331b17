import Glibc
import MoongateConfig
import Testing

@testable import Moongate

@Suite struct FilesAndSecretsTests {
    private static let data = [
        "/etc/a.json": #"{"list": [1, 2.5, null], "empty": [], "text": "ü"}"#,
        "/etc/a.csv": "name,\"the, plan\"\r\nada,\"a \"\"b\"\"\r\nc\"\r\n\r\nbob,\n",
        "/etc/a.txt": " one \n# no\n\ntwo\n", "/etc/a.pem": "-----BEGIN\n", "/etc/a.yaml": "a: [1, x]",
    ]

    @Test func filesAreReadByTheirFormat() throws {
        try MoonScript.run(
            #"""
            local json = moon.file "a.json"
            assert(json.list[1] == 1 and json.list[2] == 2.5 and json.list[3] == moon.json.null and json.text == "ü")
            assert(moon.json.encode(json) == '{"empty":[],"list":[1,2.5,null],"text":"ü"}')
            local csv = moon.file "a.csv"
            assert(#csv == 2 and csv[1].name == "ada" and csv[1]["the, plan"] == 'a "b"\r\nc' and csv[2]["the, plan"] == "")
            local lines = moon.file "a.txt"
            assert(#lines == 2 and lines[1] == "one" and lines[2] == "two")
            assert(moon.file("a.txt", "text") == " one \n# no\n\ntwo\n" and moon.file("a.pem", "text") == "-----BEGIN\n")
            assert(moon.file("a.yaml").a[2] == "x" and moon.file("a.json", "yaml").text == "ü")
            assert(moon.file("a.yaml", "lines")[1] == "a: [1, x]")
            """#, data: FilesAndSecretsTests.data)
    }

    @Test(arguments: [
        ("'b.json'", "{\n  \"a\": tru}", "/etc/b.json:2:8: no value begins like this"),
        ("'b.csv'", "a,b\n1\n", "/etc/b.csv:2:1: expected 2 fields, found 1"),
        ("'b.csv'", "a,a\n", "/etc/b.csv:1:1: the first line must name every column"),
        ("'b.csv'", "a\n\"x\n", "the quotation mark is not closed"), ("'b.csv'", "a\n\"x\"y\n", "there is more behind"),
        ("'b.csv'", "a\nx\"y\n", "within a field"),
        ("'b.csv', 'xml'", "", "the formats are csv, json, lines, text and yaml"),
        ("'none.json'", "", "no such file"),
    ])
    func mistakesInFilesHaveTheirPlace(arguments: String, text: String, message: String) throws {
        let unhealthyReason = MoonScript.unhealthyReason(
            "moon.file(\(arguments))", data: ["/etc/b.json": text, "/etc/b.csv": text])
        #expect(unhealthyReason.contains(message), "\(unhealthyReason)")
    }

    @Test func anEmptyTableIsAnEmptyList() throws {
        try MoonScript.run(
            "assert(#moon.file 'e.csv' == 0 and #moon.file 'h.csv' == 0)",
            data: ["/etc/e.csv": "", "/etc/h.csv": "a,b"])
    }

    private func secrets(_ list: [SecretConfig], _ files: [String: String]) throws -> [String: String] {
        let record = PolicyFileRecord(.memory(files))
        return try PolicySecrets.read(list, record).mapValues { String(decoding: $0, as: UTF8.self) }
    }

    @Test func secretsComeFromFilesAndTheEnvironment() throws {
        setenv("MOONGATE_TEST_SECRET", "from env", 1)
        let found = try secrets(
            [
                SecretConfig(name: "a", source: .file("/s/a")), SecretConfig(name: "b", source: .file("/s/b")),
                SecretConfig(name: "c", source: .environment("MOONGATE_TEST_SECRET")),
            ], ["/s/a": "plain\r\n", "/s/b": " two\n\n"])
        #expect(found == ["a": "plain", "b": " two\n", "c": "from env"])
    }

    @Test func missingSecretsAreReportedWithoutTheirValue() throws {
        let place = SourceLocation(file: "moongate.yaml", line: 3, column: 5)
        #expect {
            try secrets(
                [
                    SecretConfig(name: "a", source: .file("/s/none"), location: place),
                    SecretConfig(name: "b", source: .environment("MOONGATE_TEST_NONE"), location: place),
                    SecretConfig(name: "c", source: .file("/s/empty"), location: place),
                ], ["/s/empty": "\n"])
        } throws: { error in
            "\(error)".contains("moongate.yaml:3:5: secret \"a\": no such file")
                && "\(error)".contains("secret \"b\": the environment has no such variable")
                && "\(error)".contains("secret \"c\": it is empty")
        }
    }

    @Test func unknownSecretsAreErrors() {
        #expect(MoonScript.unhealthyReason("moon.secret 'x'").contains("unknown secret (there is none)"))
    }
}
