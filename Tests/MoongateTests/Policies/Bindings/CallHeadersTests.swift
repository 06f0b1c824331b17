import MoongateLua
import Testing

@testable import Moongate

@Suite struct CallHeadersTests {
    private func table(_ fields: [(String, String)], lists: Bool) -> [LuaValue.Entry] {
        let list = HeaderList()
        defer { list.destroy() }
        for (name, value) in fields {
            name.withBytes { name in value.withBytes { list.add(name: name, value: $0) } }
        }
        guard case .table(let entries) = list.table(lists: lists) else {
            return []
        }
        return entries
    }

    @Test func namesThatComeOftenHaveAListOrTheLastValue() {
        let fields = [("a", "1"), ("b", "2"), ("a", "3")]
        let text = { (text: String) in LuaValue.bytes(Array(text.utf8)) }
        let lists = table(fields, lists: true)
        #expect(lists.map(\.key) == [text("a"), text("b")])
        #expect(lists.map(\.value) == [.list([text("1"), text("3")]), text("2")])
        #expect(table(fields, lists: false).map(\.value) == [text("3"), text("2")])
    }

    /// As many as a server may send in one head; work for each field that grows with their number would take minutes here.
    @Test(.timeLimit(.minutes(1))) func thirtyThousandFieldsOfOneNameAreOneList() {
        let entries = table([(String, String)](repeating: ("a", "b"), count: 30_000), lists: true)
        guard case .list(let values)? = entries.first?.value else {
            Issue.record("no list")
            return
        }
        #expect(entries.count == 1 && values.count == 30_000)
    }
}
