import Testing

@testable import Moongate

@Suite struct MethodSetTests {
    @Test(arguments: [
        ("shop.Cart/Add", "/shop.Cart/Add", true), ("shop.Cart/*", "/shop.Cart/", true), ("*", "/any", true),
        ("*/Add", "/shop.Cart/Add", true), ("s*.C*t/A*d", "/shop.Cart/Add", true), ("*/*", "/a/b", true),
        ("shop.Cart/A*d*", "/shop.Cart/Aaad", true), ("shop.Cart/Add", "/shop.Cart/Add?x=/y", true),
        ("shop.Cart/Add", "/shop.Cart/Adds", false), ("shop.*", "/shop.Cart/Add", false), ("*/*", "/a/b/c", false),
        ("shop.Cart/*", "/shop.Cart/a/b", false), ("shop.Cart/Add", "shop.Cart/Add", false), ("*", "", false),
        ("shop.Cart/Add", "/shopXCart/Add", false), ("*/*", "/a", false),
    ])
    func patterns(pattern: String, path: String, isIn: Bool) throws {
        guard let set = try? MethodSet([pattern]) else {
            #expect(!isIn)
            return
        }
        #expect(path.withBytes { set.contains($0) } == isIn)
    }

    @Test(arguments: ["", "a", "/a/b", "a/b/c", "a/", "/b", "a b/c"])
    func othersAreNone(pattern: String) {
        #expect(throws: MethodFault.self) { try MethodSet([pattern]) }
    }

    @Test func manyStarsCostLittle() throws {
        let set = try MethodSet([String(repeating: "a*", count: 200) + "b/x"])
        #expect(!("/" + String(repeating: "a", count: 4000) + "/x").withBytes { set.contains($0) })
    }
}
