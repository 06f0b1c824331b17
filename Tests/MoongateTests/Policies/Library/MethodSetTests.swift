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

    /// A script sees the canonical path, or what it has made of it.
    @Test(arguments: [
        "/shop.Cart/Add/", "/shop%2ECart/Add", "/shop.Cart;v=1/Add", "/shop.Cart/Add;x", "/shop.Cart/Add%3Bx",
        "//shop.Cart//Add",
        "/shop.Cart%2FAdd", "/shop.Cart%2fAdd%2F", "/shop.Cart/Add%3Fx", "/shop.Cart/Add%23", "/shop.Cart%2FAdd%3Fx?y",
    ])
    func anotherReadingOfAPathIsTheSameMethod(path: String) throws {
        for pattern in ["shop.Cart/Add", "shop%2eCart/%41dd", "shop.*/A*"] {
            let set = try MethodSet([pattern])
            #expect(path.withBytes { set.contains($0) }, "\(pattern)")
        }
        #expect(!(try MethodSet(["shop.Cart/Remove"])).contains(path))
    }

    @Test func reservedCharactersMatchInBothSpellings() throws {
        for pattern in ["v1/{a}:get", "v1/%7ba%7D%3Aget"] {
            let set = try MethodSet([pattern])
            #expect(set.contains("/v1/{a}:get") && set.contains("/v1/%7Ba%7D:get") && !set.contains("/v1/a:get"))
        }
    }

    @Test(arguments: ["a%2fb/c", "a/..", "a/b%00", "a;x/b", "%2561/b", "a/%2A", "a/%", "a/b#"])
    func onesThatNoRequestFitsAreFaults(pattern: String) {
        #expect(throws: MethodFault.self) { try MethodSet([pattern]) }
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

extension MethodSet {
    fileprivate func contains(_ path: String) -> Bool { path.withBytes { contains($0) } }
}
