import Testing

@testable import MoongateConfig

@Suite struct EntryFileTests {
    private struct Read {
        var root: EntryFile.Root?
        var entries: [(name: String?, value: SettingValue, line: Int)] = []
        var faults: [String] = []
    }

    private func read(_ text: String, _ path: String = "list.yaml") -> Read {
        var read = Read()
        do throws(DiagnosticList) {
            read.root = try EntryFile.read(Array(text.utf8), path: path) { entry in
                read.entries.append((entry.name, entry.value, entry.location.line))
            }
        } catch {
            read.faults = error.diagnostics.map(\.description)
        }
        return read
    }

    @Test func entriesComeInTheirOrderWithTheirLines() {
        let mapping = read("# users\nada: x\nbob:\n  allow: [a, 1]\n")
        #expect(mapping.root == .mapping)
        #expect(mapping.entries.map(\.name) == ["ada", "bob"])
        #expect(mapping.entries.map(\.line) == [2, 3])
        #expect(mapping.entries[1].value["allow"] == .list([.string("a"), .integer(1)]))
        let list = read("- a\n\n- {b: 1}\n")
        #expect(list.root == .list)
        #expect(list.entries.map(\.name) == [nil, nil])
        #expect(list.entries.map(\.line) == [1, 3])
        let lines = read("\u{FEFF}a\r\n# no\n\n  b \u{A0}\u{2028}c", "list.txt")
        #expect(lines.root == .list)
        #expect(lines.entries.map(\.value) == [.string("a"), .string("b"), .string("c")])
        #expect(lines.entries.map(\.line) == [1, 4, 5])
    }

    @Test func whatIsNoListSaysSo() {
        #expect(read("").root == .nothing)
        #expect(read("# nobody\n").root == .nothing)
        #expect(read("~").root == .nothing)
        #expect(read("ada").root == .scalar)
    }

    @Test func namesThatAreGivenTwiceAreFaultsWithBothLines() {
        let found = read("ada: 1\nbob: 2\n\"ada\": 3\n")
        #expect(
            found.faults == [
                "list.yaml:3:1: a key is given more than once (hint: it stands in line 1 already)"
            ])
    }

    @Test func aliasesAndMergesMeanWhatTheyDoInATree() {
        let found = read("base: &base {a: 1}\nada: {<<: *base, b: 2}\nbob: *base\n<<: {eve: 1, ada: 9}\n")
        #expect(found.faults.isEmpty)
        #expect(found.entries.map(\.name) == ["base", "ada", "bob", "eve"])
        #expect(
            found.entries[1].value
                == .table([.init(key: "b", value: .integer(2)), .init(key: "a", value: .integer(1))]))
        #expect(found.entries[2].value["a"] == .integer(1))
        #expect(read("a: *b\n").faults.first?.contains("found undefined alias") == true)
    }

    @Test func faultsTellTheirPlace() {
        #expect(read("a: 1\nb: [\n").faults.first?.hasPrefix("list.yaml:3:1: not YAML: ") == true)
        #expect(
            read("a: !x 1\n").faults == [
                "list.yaml:1:4: tags are not supported (hint: write the value without its tag)"
            ])
        #expect(read("a: 1\n---\nb: 1\n").faults == ["list.yaml:2:1: not YAML: the file holds more than one document"])
        #expect(read("a: 99999999999999999999\n").faults.first?.hasPrefix("list.yaml:1:4: ") == true)
        #expect(
            read("- " + String(repeating: "[", count: 70)).faults.first?.contains("nested deeper than 64 levels")
                == true)
    }

    @Test func aliasesThatNestAreBoundInDepthAndNumber() {
        var deep = "- &a0 [x]\n"
        for level in 1..<80 { deep += "- &a\(level) [*a\(level - 1)]\n" }
        #expect(read(deep).faults == ["list.yaml:63:9: nested deeper than 64 levels"])
        var bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<12 {
            bomb += "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", "))]\n"
        }
        #expect(read(bomb).faults.first?.contains("more than 10,000,000 values") == true)
    }

    @Test func jsonMayWriteAnyCharacterAsEscapes() {
        let found = read(#"{"\ud83d\ude00 \\ud83d\u00e9": 1, "b\"": 2}"#, "list.json")
        #expect(found.faults.isEmpty)
        #expect(found.entries.map(\.name) == ["\u{1F600} \\ud83d\u{E9}", "b\""])
        #expect(!read(#"{"\ud83d": 1}"#, "list.json").faults.isEmpty)
    }

    @Test func textThatIsNotUTF8IsRefused() {
        let error = #expect(throws: DiagnosticList.self) {
            _ = try EntryFile.read([0x61, 0x0A, 0x62, 0xFF], path: "list.yaml") { _ in }
        }
        #expect(error?.description == "list.yaml:2:2: the file is not UTF-8 text")
    }

    /// Name, place and kind: values of files with many aliases are too long to be written out.
    private func place(_ name: String, _ node: YAMLNode) -> String {
        "\(name) \(node.location.line):\(node.location.column) \(node.kind)"
    }

    /// Entry by entry and as a tree, the same is read.
    @Test func entriesAreThoseOfTheTree() throws {
        for golden in try GoldenCase.all() {
            let (root, faults) = YAMLReader.read(golden.input, file: "m.yaml")
            var text = golden.input
            let streamed = text.withUTF8 { bytes in
                var names: [String] = []
                let (_, faults) = YAMLReader.readEntries(bytes, file: "m.yaml") { name, node, _ in
                    names.append(place(name ?? "-", node))
                }
                return (names: names, faults: faults)
            }
            // Many more values are read here, see `YAMLLimits.list`.
            guard !faults.contains(where: { $0.message.hasPrefix("more than") }) else { continue }
            #expect(streamed.faults == faults, "\(golden.input)")
            if case .mapping(let entries)? = root?.content {
                #expect(streamed.names == entries.map { place($0.key, $0.value) }, "\(golden.input)")
            }
        }
    }

    @Test func aHundredThousandEntriesAreRead() {
        let text = (0..<100_000).map { "user-\($0): {a: 1}\n" }.joined()
        var count = 0
        let root = try? EntryFile.read(Array(text.utf8), path: "users.yaml") { _ in count += 1 }
        #expect(root == .mapping && count == 100_000)
    }
}
