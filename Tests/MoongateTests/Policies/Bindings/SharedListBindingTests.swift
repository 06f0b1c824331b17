import Logging
import MoongateConfig
import Testing

@testable import Moongate

/// `moon.users`, `moon.keys`, `moon.networks` and `moon.lines`.
@Suite struct SharedListBindingTests {
    private static let text = """
        local moon = require "moon"
        local users = moon.users("users.yaml", "methods")
        function on_request(h)
          local headers = h:headers()
          local user = headers:get("user")
          if not users:verify(user, headers:get("password")) then h:respond({[":status"] = "401"}, "wrong") end
          if not users:allows(user, headers:get(":path")) then h:respond({[":status"] = "403"}, "no") end
        end
        """

    private func hash(_ password: String) throws -> String {
        try PasswordHash.make(password: Array(password.utf8), method: .bcrypt, cost: 4).text
    }

    private func status(_ bench: PolicyBench, _ user: String, _ password: String) throws -> PolicyVerdict {
        let before = bench.verdicts.count
        let (verdict, call) = try bench.request(PolicyBench.grpc + [("user", user), ("password", password)])
        defer { call.end() }
        guard verdict == .pause else { return verdict }
        bench.wait(for: before + 1)
        return try #require(bench.verdicts.last)
    }

    @Test func usersAreVerifiedAndAskedForTheirMethods() throws {
        let hash = try hash("secret")
        let bench = try PolicyBench(
            ["p.lua": Self.text], [.init("p.lua")],
            data: [
                "/etc/users.yaml": "ada: {password: \(hash), allow: [\"*\"]}\nbob: {password: \(hash), allow: []}\n"
            ],
            verifier: try PasswordVerifier(threads: 1))
        for _ in 0..<2 {
            #expect(try status(bench, "ada", "secret") == .proceed)
            #expect(try status(bench, "ada", "wrong") == .reply)
            #expect(try status(bench, "eve", "secret") == .reply)
            #expect(try status(bench, "bob", "secret") == .reply)
        }
    }

    @Test func listsAnswerScripts() throws {
        let digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
        try MoonScript.run(
            #"""
            local keys = moon.keys "keys.yaml"
            local name, allowed = keys:find "foo"
            assert(keys:count() == 1 and name == "web" and allowed == true)
            name, allowed = keys:find("foo", "/shop.Cart/Add")
            assert(name == "web" and allowed == false)
            assert(select(2, keys:find("foo", "/shop.Cart/GetAll")) == true)
            name, allowed = keys:find "bar"
            assert(name == nil and allowed == false)
            local deny = moon.networks "deny.txt"
            assert(deny:contains "10.1.2.3" and not deny:contains "11.1.2.3:80")
            local inline = moon.networks { "10.0.0.0/8", { cidr = "192.0.2.0/24", except = { "192.0.2.7" } } }
            assert(inline:contains "192.0.2.1" and not inline:contains "192.0.2.7" and not moon.networks({}):contains "::1")
            local lines = moon.lines "deny.txt"
            assert(lines:count() == 1 and lines:contains "10.0.0.0/8" and not lines:contains "")
            local users = moon.users "users.yaml"
            assert(users:count() == 1 and users:allows("ada", "/a.B/C") and not users:allows("bob", "/a.B/C"))
            """#,
            data: [
                "/etc/keys.yaml": "web: {sha256: \(digest), allow: [shop.Cart/Get*]}\n",
                "/etc/deny.txt": "10.0.0.0/8\n",
                "/etc/users.yaml": "ada: \(try hash("x"))\n",
            ])
    }

    @Test(arguments: [
        ("moon.users 'none.yaml'", "moon.users: argument 1: no such file"),
        ("moon.users('u.yaml', 'odd')", "moon.users: the forms are basic, methods, any"),
        ("moon.users('u.yaml')", "/etc/u.yaml:1:1: user \"ada\""),
        ("moon.keys 'u.yaml'", "/etc/u.yaml:1:1: key \"ada\": sha256 must be"),
        ("moon.networks '10.0.0.0/8'", "argument 1 is a network: write a list"),
        ("moon.networks(1)", "a list of networks or the path of a file is needed"),
        ("moon.networks { 'x' }", "moon.networks: network 1 is no IP address or CIDR block"),
        ("moon.lines 'u.yaml'", "must hold a list of texts"),
    ])
    func mistakesAreExplained(script: String, message: String) {
        let unhealthyReason = MoonScript.unhealthyReason(script, data: ["/etc/u.yaml": "ada: x\n"])
        #expect(unhealthyReason.contains(message), "\(unhealthyReason)")
    }

    @Test func listsAreMadeWhileLoadingOnly() throws {
        let bench = try PolicyBench("function on_request(h) require('moon').lines('l.txt') end")
        let (verdict, call) = try bench.request()
        #expect(verdict != .proceed)
        #expect(bench.log.all.contains { $0.contains("moon.lines is for loading and on_init") })
        call.end()
    }

    // MARK: Sharing

    private let script =
        "local l = require('moon').lines('l.txt') function on_request(h) h:headers():add('x', l:count()) end"

    private func make(_ files: [String: String], _ previous: PolicyProgram? = nil) throws -> PolicyProgram.Made {
        var config = Configuration()
        config.routes = [RouteConfig(name: "r", policies: [PolicyReference(name: "/etc/p.lua")], upstreams: [])]
        return try PolicyProgram.make(
            config, folder: "/etc", shipped: nil, loader: .memory(files), previous: previous, services: services)
    }

    private let services = PolicyServices(
        logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }, verifier: nil,
        registry: MetricsRegistry(workers: 2),
        worker: 0)
    private let key = SharedListKey(kind: .lines, path: "/etc/l.txt")

    @Test func allWorkersShareAListThatNoPolicyPaysFor() throws {
        let text = (0..<50_000).map { "customer-\($0)\n" }.joined()
        let made = try make(["/etc/p.lua": script, "/etc/l.txt": text])
        let first = made.engines[0]
        let list = try #require(made.program.units[0].findings.lists[key])
        #expect(list.count == 50_000)
        let second = try PolicyEngine(made.program.units[0], services: services)
        #expect(second.unit === first.unit && first.unit.findings.lists[key] === list)
        for engine in [first, second] { #expect(engine.vm.memory.peak < 400 << 10) }
    }

    @Test func anUnchangedListGoesOnInTheNextGeneration() throws {
        let first = try make(["/etc/p.lua": script, "/etc/l.txt": "a\n"])
        let second = try make(["/etc/p.lua": script + " ", "/etc/l.txt": "a\n"], first.program)
        #expect(!second.engines.isEmpty)
        #expect(second.program.units[0].findings.lists[key] === first.program.units[0].findings.lists[key])
        let third = try make(["/etc/p.lua": script + " ", "/etc/l.txt": "a\nb\n"], second.program)
        #expect(third.program.units[0].findings.lists[key] !== second.program.units[0].findings.lists[key])
        #expect(third.program.units[0].findings.lists[key]?.count == 2)
        // Without any change, the machines go on, and the lists with them.
        let fourth = try make(["/etc/p.lua": script + " ", "/etc/l.txt": "a\nb\n"], third.program)
        #expect(
            fourth.engines.isEmpty
                && fourth.program.units[0].findings.lists[key] === third.program.units[0].findings.lists[key])
    }

    @Test func aListEndsWithItsLastGeneration() throws {
        weak var old: (any SharedList)?
        var made = try make(["/etc/p.lua": script, "/etc/l.txt": "a\n"])
        old = made.program.units[0].findings.lists[key]
        #expect(old != nil)
        made = try make(["/etc/p.lua": script, "/etc/l.txt": "b\n"], made.program)
        #expect(old == nil && made.program.units[0].findings.lists[key] != nil)
    }

    /// The engine that takes the place of the first worker's is made from what that one has read.
    @Test func theFirstWorkersEngineCanBeMadeAgain() throws {
        let made = try make([
            "/etc/p.lua": "local d = require('moon').file('d.txt')\n" + script, "/etc/l.txt": "a\n",
            "/etc/d.txt": "x\n",
        ])
        #expect(made.engines[0].unit === made.program.units[0])
        #expect(throws: Never.self) { _ = try PolicyEngine(made.program.units[0], services: services) }
    }

    // MARK: Stale lists

    @Test func aListIsStaleAsSoonAsItsFileSaysSomethingElse() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("n.txt")
        try folder.write("n.txt", "10.0.0.0/8\n")
        let text = "local n = require('moon').networks('\(path)') function on_request() end"
        let made = try make(["/etc/p.lua": text, path: "10.0.0.0/8\n"])
        #expect(StaleList.all(of: made.program, now: FileSnapshot()) == [])
        try folder.write("n.txt", "11.0.0.0/8\n")
        #expect(StaleList.all(of: made.program, now: FileSnapshot()) == [StaleList(kind: .networks, path: path)])
        try folder.remove("n.txt")
        #expect(StaleList.all(of: made.program, now: FileSnapshot()) == [StaleList(kind: .networks, path: path)])
    }
}
