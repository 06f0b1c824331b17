import Testing

@testable import Moongate

@Suite struct HeaderAuthTests {
    private static let noUsers = "the file must hold users by name (hint: ada: {password: $2b$10$…, allow: [\"*\"]})"
    private static let hash = try? PasswordHash.make(password: Array("lovelace".utf8), method: .bcrypt, cost: 4).text

    private func bench(
        _ settings: String = "{users: users.yaml}", allow: String = "[\"*\"]", queueLimit: Int? = nil
    ) throws -> PolicyBench {
        let hash = try #require(HeaderAuthTests.hash)
        return try ShippedPolicy.bench(
            "header-auth", settings,
            data: ["/etc/users.yaml": "ada:\n  password: \"\(hash)\"\n  allow: \(allow)\n"],
            verifier: try PasswordVerifier(threads: 1, queueLimit: queueLimit))
    }

    /// The verdict after waiting, and the call, which the caller ends.
    private func ask(
        _ bench: PolicyBench, _ headers: [String: String] = ["username": "ada", "password": "lovelace"]
    ) throws -> (verdict: PolicyVerdict, call: PolicyBench.Call) {
        let (verdict, call) = try bench.request(ShippedPolicy.request(headers))
        guard verdict == .pause else { return (verdict, call) }
        bench.wait(for: bench.verdicts.count + 1)
        return (try #require(bench.verdicts.last), call)
    }

    private func status(_ bench: PolicyBench, _ headers: [String: String]) throws -> String? {
        let (verdict, call) = try ask(bench, headers)
        defer { call.end() }
        return verdict == .reply ? call.response["grpc-status"] : "\(verdict)"
    }

    @Test func theRightPasswordPassesAndGoesNoFurther() throws {
        let (verdict, call) = try ask(try bench())
        defer { call.end() }
        #expect(verdict == .proceed)
        #expect(call.request["username"] == "ada")
        #expect(call.request["password"] == nil)
    }

    @Test func thePasswordIsForwardedIfAsked() throws {
        let (verdict, call) = try ask(try bench("{users: users.yaml, forward_password: true}"))
        defer { call.end() }
        #expect(verdict == .proceed)
        #expect(call.request["password"] == "lovelace")
    }

    @Test func aPasswordThatWasRightIsNotCheckedAgain() throws {
        let bench = try bench()
        try ask(bench).call.end()
        let (verdict, call) = try bench.request(ShippedPolicy.request(["username": "ada", "password": "lovelace"]))
        defer { call.end() }
        #expect(verdict == .proceed)
    }

    @Test(arguments: [
        [:], ["username": "ada"], ["password": "lovelace"], ["username": "ada", "password": "wrong"],
        ["username": "ada", "password": ""], ["username": "Ada", "password": "lovelace"],
        ["username": "eve", "password": "lovelace"], ["username": "", "password": ""],
    ])
    func missingOrWrongIsUnauthenticated(headers: [String: String]) throws {
        #expect(try status(try bench(), headers) == "16")
    }

    @Test(arguments: [
        ("[\"*\"]", true), ("[shop.Cart/Add]", true), ("[shop.Cart/*]", true), ("[\"*/Add\"]", true),
        ("[shop.*/A*d]", true), ("[shop.Stock/*, shop.Cart/Add]", true), ("[]", false), ("[shop.Cart/Ad]", false),
        ("[shop.Cart/Addd]", false), ("[shop.Car*/Ad]", false), ("[shopXCart/Add]", false),
        ("[hop.Cart/Add]", false), ("[shop.Cart/Get*]", false), ("[\"[a-z]*/Add\"]", false),
        ("[\"shop.Cart/%41dd\"]", true),
    ])
    func methodsAreMatchedByGlobs(allow: String, isAllowed: Bool) throws {
        let status = try status(try bench(allow: allow), ["username": "ada", "password": "lovelace"])
        #expect(status == (isAllowed ? "proceed" : "7"))
    }

    @Test(arguments: ["[\"%a*/%a*\"]", "[shop.Cart%2FAdd/x]", "[../Add]"])
    func aPatternThatNoRequestFitsIsAFault(allow: String) {
        #expect(throws: (any Error).self) { try bench(allow: allow) }
    }

    @Test(arguments: [
        ("/shop.Cart/Get/../Add", "7"), ("/shop.Cart/Get?x=1", "proceed"), ("/shop.Cart/Add?/shop.Cart/Get", "7"),
    ])
    func aStarEndsAtASlashAndTheQueryTakesNoPart(path: String, status: String) throws {
        let headers = [":path": path, "username": "ada", "password": "lovelace"]
        #expect(try self.status(try bench(allow: "[shop.Cart/Get*]"), headers) == status)
    }

    @Test func aWrongPasswordIsNotToldWhatItMayCall() throws {
        #expect(try status(try bench(allow: "[]"), ["username": "ada", "password": "wrong"]) == "16")
    }

    @Test func headersCanHaveOtherNames() throws {
        let bench = try bench("{users: users.yaml, username: X-User, password: X-Key}")
        let (verdict, call) = try ask(bench, ["x-user": "ada", "x-key": "lovelace"])
        defer { call.end() }
        #expect(verdict == .proceed)
        #expect(call.request["x-key"] == nil)
    }

    @Test func aFullQueueIsResourceExhausted() throws {
        let bench = try bench(queueLimit: 0)
        #expect(try status(bench, ["username": "ada", "password": "lovelace"]) == "8")
        let (verdict, call) = try ask(bench, ["username": "a", "password": "b", "content-type": "text/plain"])
        defer { call.end() }
        #expect(verdict == .reply)
        #expect(call.response[":status"] == "429")
        #expect(call.response["grpc-status"] == nil)
    }

    @Test(arguments: [("401", ["username": "ada"]), ("403", ["username": "ada", "password": "lovelace"])])
    func othersThanGRPCGetAnHTTPStatus(status: String, headers: [String: String]) throws {
        let headers = headers.merging(["content-type": "text/plain"]) { $1 }
        let (verdict, call) = try ask(try bench(allow: "[]"), headers)
        defer { call.end() }
        #expect(verdict == .reply)
        #expect(call.response[":status"] == status)
    }

    @Test(arguments: [
        ("{}", "users is missing"), ("{users: none.yaml}", "moon.users: argument 1: no such file"),
        ("{users: 3}", "users must be a string"),
        ("{users: text.yaml}", "/etc/text.yaml: \(HeaderAuthTests.noUsers)"),
        ("{users: empty.yaml}", "/etc/empty.yaml: \(HeaderAuthTests.noUsers)"),
        ("{users: list.yaml}", "/etc/list.yaml: \(HeaderAuthTests.noUsers)"),
        ("{users: a.yaml}", "/etc/a.yaml:1:1: user \"ada\": password and allow are missing"),
        ("{users: b.yaml}", "/etc/b.yaml:1:1: user \"ada\": unknown key \"role\" (known: allow, password)"),
        ("{users: c.yaml}", "/etc/c.yaml:1:1: user \"ada\": password is missing (`moongate hash-password` makes one)"),
        ("{users: d.yaml}", "/etc/d.yaml:1:1: user \"ada\": allow is missing ([\"*\"] is every method)"),
        (
            "{users: e.yaml}",
            "/etc/e.yaml:1:1: user \"ada\": allow: pattern 1 is no pattern such as shop.Cart/Get* or *"
        ),
    ])
    func mistakesAreRefused(settings: String, unhealthyReason: String) throws {
        let data = [
            "/etc/text.yaml": "hello", "/etc/empty.yaml": "", "/etc/list.yaml": "- ada", "/etc/a.yaml": "ada: $2b$10$x",
            "/etc/b.yaml": "ada: {role: x}",
            "/etc/c.yaml": "ada: {allow: []}", "/etc/d.yaml": "ada: {password: x}",
            "/etc/e.yaml": "ada: {password: \(try #require(HeaderAuthTests.hash)), allow: [shop.Cart]}",
        ]
        let found = try ShippedPolicy.unhealthyReason("header-auth", settings, data: data)
        #expect(found == "moongate.yaml:7:3: policy header-auth: \(unhealthyReason)")
    }

    @Test(arguments: ["plain", "$1$abc$defghijklmnopqrstuvwx.", "$2b$10$short"])
    func aMalformedHashIsRefusedWithTheUsersName(hash: String) throws {
        let found = try ShippedPolicy.unhealthyReason(
            "header-auth", "{users: u.yaml}", data: ["/etc/u.yaml": "ada: {password: \"\(hash)\", allow: []}"])
        #expect(found.hasPrefix("moongate.yaml:7:3: policy header-auth: /etc/u.yaml:1:1: user \"ada\": "))
    }
}
