import MoongateConfig
import Testing

@testable import Moongate

@Suite struct SharedListTests {
    private static let hash = "$2b$04$" + String(repeating: "a", count: 53)

    private func faults(_ make: () throws -> Void) -> [String] {
        do {
            try make()
            return []
        } catch let list as DiagnosticList {
            return list.diagnostics.map(\.description)
        } catch {
            return ["\(error)"]
        }
    }

    private func users(_ text: String, _ form: UserList.Form = .any) throws -> UserList {
        try UserList(Array(text.utf8), path: "users.yaml", form: form)
    }

    private func keys(_ text: String) throws -> KeyList { try KeyList(Array(text.utf8), path: "keys.yaml") }

    private func networks(_ text: String, _ path: String = "networks.yaml") throws -> NetworkList {
        try NetworkList(Array(text.utf8), path: path)
    }

    // MARK: Users

    @Test func usersAreFoundWithTheirHashesAndMethods() throws {
        let users = try users(
            "ada: {password: \(Self.hash), allow: [shop.Cart/*]}\nbob: \(Self.hash)\neve: {password: \(Self.hash), allow: []}\n"
        )
        #expect(users.count == 3)
        let (ada, bob, eve) = (
            users.index(of: Bytes("ada")), users.index(of: Bytes("bob")), users.index(of: Bytes("eve"))
        )
        #expect(users.hashText(try #require(ada)).string == Self.hash)
        #expect(users.allows(try #require(ada), Bytes("/shop.Cart/Add")))
        #expect(!users.allows(try #require(ada), Bytes("/shop.Stock/Add")))
        #expect(users.allows(try #require(bob), Bytes("/shop.Stock/Add")))
        #expect(!users.allows(try #require(eve), Bytes("/shop.Cart/Add")))
        for stranger in ["", "ad", "adaa", "Ada"] { #expect(stranger.withBytes { users.index(of: $0) } == nil) }
        #expect(users.decoy(for: Bytes("stranger"))?.text.hasPrefix("$2b$04$") == true)
    }

    @Test(arguments: [
        (UserList.Form.methods, "ada: x", "users.yaml:1:1: user \"ada\": password and allow are missing"),
        (
            .methods, "- ada",
            "users.yaml: the file must hold users by name (hint: ada: {password: $2b$10$…, allow: [\"*\"]})"
        ),
        (.any, "", "users.yaml: the file must hold users by name (hint: ada: $2b$10$…)"),
        (.methods, "\nada: {role: x}", "users.yaml:2:1: user \"ada\": unknown key \"role\" (known: allow, password)"),
        (
            .methods, "ada: {allow: []}",
            "users.yaml:1:1: user \"ada\": password is missing (`moongate hash-password` makes one)"
        ),
        (.methods, "ada: {password: x}", "users.yaml:1:1: user \"ada\": allow is missing ([\"*\"] is every method)"),
        (
            .methods, "ada: {password: x, allow: [1]}",
            "users.yaml:1:1: user \"ada\": the methods in allow must be texts"
        ),
        (
            .methods, "ada: {password: \(hash), allow: [x]}",
            "users.yaml:1:1: user \"ada\": allow: pattern 1 is no pattern such as shop.Cart/Get* or *"
        ),
        (
            .basic, "ada: x",
            "users.yaml:1:1: user \"ada\": only bcrypt ($2b$, $2y$) and yescrypt ($y$) hashes are taken"
        ),
        (.basic, "ada: {password: x, allow: []}", "users.yaml:1:1: user \"ada\": the hash of the password is missing"),
        (.basic, "\"a:b\": \(hash)", "users.yaml:1:1: user \"a:b\": a name holds no colon (RFC 7617)"),
    ])
    func usersThatCannotBeMeantAreToldWithTheirLine(form: UserList.Form, text: String, message: String) {
        #expect(faults { _ = try users(text, form) } == [message])
    }

    @Test func manyFaultsAreTold() {
        let found = faults { _ = try users((0..<50).map { "u\($0): x\n" }.joined()) }
        #expect(found.count == 20 && found.last?.hasSuffix("(and 30 more faults)") == true)
    }

    // MARK: Keys

    private func sha256(_ text: String) -> String {
        var digest = [UInt8](repeating: 0, count: 64)
        let size = text.withBytes { Digest.sha256.hash($0, to: &digest) } ?? 0
        return digest.prefix(size).map { byte in
            String(decoding: [Hex.digit(byte >> 4), Hex.digit(byte & 15)], as: UTF8.self)
        }.joined()
    }

    @Test func keysAreFoundByWhatIsPresented() throws {
        let keys = try keys(
            "ci: \(sha256("k1").uppercased())\nweb: {sha256: \(sha256("k2")), allow: [shop.Cart/Get*]}\n")
        #expect(keys.count == 2)
        let ci = try #require(keys.find(Bytes("k1")))
        let web = try #require(keys.find(Bytes("k2")))
        #expect(ci.name.string == "ci" && ci.methods == nil)
        #expect(web.name.string == "web")
        #expect(
            web.methods?.contains(Bytes("/shop.Cart/GetAll")) == true
                && web.methods?.contains(Bytes("/shop.Cart/Add")) == false)
        #expect(keys.find(Bytes("k3")) == nil && keys.find(.empty) == nil)
        #expect(try self.keys("").find(Bytes("k1")) == nil)
    }

    @Test func keysThatCannotBeMeantAreToldWithTheirLine() {
        let (one, two) = (sha256("k1"), sha256("k2"))
        #expect(
            faults { _ = try keys("a: \(one)\nb: \(two)\nc: \(one)\n") }
                == ["keys.yaml:3:1: key \"c\" is the same as key \"a\" (hint: that one stands in line 1)"])
        #expect(
            faults { _ = try keys("a: \(one)0") }
                == ["keys.yaml:1:1: key \"a\": sha256 must be 64 hexadecimal digits (`printf %s KEY | sha256sum`)"])
        #expect(faults { _ = try keys("a: {allow: []}") } == ["keys.yaml:1:1: key \"a\": sha256 is missing"])
        #expect(
            faults { _ = try keys("a: {sha256: \(one), x: 1}") }
                == ["keys.yaml:1:1: key \"a\": unknown key \"x\" (known: allow, sha256)"])
        #expect(
            faults { _ = try keys("a: {sha256: \(one), allow: x}") } == [
                "keys.yaml:1:1: key \"a\": allow must be a list"
            ])
        #expect(faults { _ = try keys("- a") }.first?.contains("must hold keys by name") == true)
    }

    // MARK: Networks

    @Test func networksAreMatchedWithTheirExceptions() throws {
        let list = try networks(
            "- 10.0.0.0/8\n- {cidr: [192.0.2.0/24, \"2001:db8::/32\"], except: [192.0.2.7, \"2001:db8:1::/48\"]}\n- 192.0.2.8\n"
        )
        #expect(list.count == 3)
        func contains(_ address: String) throws -> Bool {
            list.set.contains(try #require(SocketAddress(host: address, port: 0)))
        }
        for inside in ["10.1.2.3", "192.0.2.1", "192.0.2.8", "2001:db8:2::1"] {
            #expect(try contains(inside), "\(inside)")
        }
        for outside in ["11.0.0.1", "192.0.2.7", "2001:db8:1::1"] { #expect(try !contains(outside), "\(outside)") }
        #expect(try networks("# none\n", "networks.txt").set.isEmpty)
        #expect(try networks("10.0.0.0/8\n::1\n", "networks.txt").count == 2)
    }

    /// A network that one entry takes out and another one has is in the set.
    @Test func anExceptionConcernsItsEntryAlone() throws {
        let list = try networks("- {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}\n- 10.1.2.0/24\n")
        #expect(list.set.contains(try #require(SocketAddress(host: "10.1.2.3", port: 0))))
        #expect(!list.set.contains(try #require(SocketAddress(host: "10.1.3.3", port: 0))))
    }

    @Test func networksThatCannotBeMeantAreToldWithTheirLine() {
        #expect(
            faults { _ = try networks("10.0.0.0/8\n10.0.0.1/8\nx\n", "n.txt") } == [
                "n.txt:2:1: \"10.0.0.1/8\" has bits set outside its prefix"
                    + " (hint: write 10.0.0.0/8 for the block, or 10.0.0.1 for the one address)",
                "n.txt:3:1: \"x\" is no IP address or CIDR block (hint: write 10.0.0.0/8 or 2001:db8::/32)",
            ])
        #expect(
            faults { _ = try networks("- {cidr: 10.0.0.0/8, expect: []}") }.first?.contains("unknown key \"expect\"")
                == true)
        #expect(faults { _ = try networks("- {except: []}") }.first?.contains("a network has no cidr") == true)
        #expect(faults { _ = try networks("- 1\n") }.first?.contains("a network is no text, and no map") == true)
        #expect(faults { _ = try networks("a: 10.0.0.0/8") }.first?.contains("must hold a list of networks") == true)
    }

    @Test func aFileThatWasEmptiedIsNoList() throws {
        #expect(
            faults { _ = try networks("", "n.txt") }
                == ["n.txt: the file is empty (hint: a comment (# no networks) says that this is meant)"])
        #expect(faults { _ = try LineList([], path: "l.txt") }.first?.contains("the file is empty") == true)
        #expect(try networks("# no networks\n", "n.yaml").count == 0)
    }

    // MARK: Texts

    @Test func packedTextsAreFoundAmongMany() {
        var builder = PackedTexts.Builder()
        for text in (0..<5000).map({ "name-\($0)" }) + ["", "ü"] {
            let isTaken = builder.append(text)
            #expect(isTaken)
        }
        let texts = PackedTexts(builder)
        #expect(texts.count == 5002)
        for number in [0, 1, 2500, 4999] {
            #expect("name-\(number)".withBytes { texts.index(of: $0) } == number)
            #expect(texts[number].string == "name-\(number)")
        }
        #expect(texts.index(of: .empty) == 5000 && texts.index(of: Bytes("ü")) == 5001)
        #expect(texts.index(of: Bytes("name-5000")) == nil)
        #expect(PackedTexts(PackedTexts.Builder()).index(of: .empty) == nil)
    }

    /// Users may share a hash, and a file may repeat a line: the work must not grow with the square of their number.
    @Test func equalTextsCostNoMoreThanOthers() {
        var builder = PackedTexts.Builder()
        for _ in 0..<200_000 { _ = builder.append("same") }
        _ = builder.append("other")
        let texts = PackedTexts(builder)
        #expect(texts.count == 200_001)
        #expect(texts.index(of: Bytes("same")) == 0 && texts.index(of: Bytes("other")) == 200_000)
    }

    @Test func linesAreAskedForTheirTexts() throws {
        let lines = try LineList(Array("# a\n one \ntwo\n".utf8), path: "l.txt")
        #expect(lines.count == 2 && lines.contains(Bytes("one")) && !lines.contains(Bytes("# a")))
        #expect(
            faults { _ = try LineList(Array("- 1\n".utf8), path: "l.yaml") }.first?.contains("must be a text") == true)
    }
}
