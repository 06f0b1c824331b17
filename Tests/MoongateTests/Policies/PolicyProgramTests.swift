import Logging
import MoongateConfig
import MoongateLua
import Testing

@testable import Moongate

/// Finding and loading policies, and what is said when that fails.
@Suite struct PolicyProgramTests {
    private func faults(_ files: [String: String], _ uses: [PolicyBench.Use]) -> [String] {
        do {
            _ = try PolicyBench(files, uses)
            return []
        } catch let error as DiagnosticList {
            return error.diagnostics.map(\.description)
        } catch {
            return ["\(error)"]
        }
    }

    @Test func namesAreLookedForInThePathAndThenAmongTheShippedOnes() throws {
        let text = { (mark: String) in "function on_request(h) h:headers():add('x', '\(mark)') end" }
        let bench = try PolicyBench(
            ["policies/one/init.lua": text("one"), "policies/two.lua": text("two")],
            [.init("one"), .init("two"), .init("three")],
            data: [
                "/usr/share/policies/one/init.lua": text("shipped"),
                "/usr/share/policies/three/init.lua": text("three"),
            ])
        let (_, call) = try bench.request()
        #expect(call.request.all("x") == ["one", "two", "three"])
        #expect(bench.program.instances.map(\.name) == ["one", "two", "three"])
        call.end()
    }

    @Test func unknownPoliciesAreNamedWithTheirPlace() {
        let found = faults([:], [.init("nothing")])
        #expect(found.count == 1)
        #expect(
            found.first?.hasPrefix("moongate.yaml:7:3: there is no policy called nothing (hint: searched /etc/policies")
                == true)
        #expect(faults([:], [.init("gone.lua")]).first?.contains("cannot be read") == true)
    }

    @Test func brokenFilesAreNamedWithFileAndLine() {
        let files = [
            "syntax.lua": "x = 1\nx = = 2", "top.lua": "\n\nerror('no')",
            "both.lua": "function on_request() end function envoy_on_request() end", "kind.lua": "on_response = 5",
        ]
        let found = faults(files, files.keys.sorted().map { .init($0) })
        #expect(found.count == 4)
        #expect(found[0] == "/etc/both.lua: on_request and envoy_on_request are the same hook; keep one")
        #expect(found[1].contains("/etc/kind.lua: etc/kind.lua: 'on_response' is not a function"))
        #expect(found[2].hasPrefix("/etc/syntax.lua:2: unexpected symbol near '='"))
        #expect(found[3] == "/etc/top.lua:3: no")
    }

    /// A program from the text of a whole configuration; `previous` may go on.
    private func make(_ text: String, previous: PolicyProgram? = nil) throws -> PolicyProgram.Made {
        let config = try ConfigurationParser.parse(text, file: "/etc/moongate.yaml")
        let services = PolicyServices(
            logger: Logger(label: "test") { _ in CapturedHandler(log: CapturedLog()) },
            registry: MetricsRegistry(workers: 1), worker: 0)
        return try PolicyProgram.make(
            config, folder: "/etc", shipped: nil, loader: .memory([:]), previous: previous, services: services)
    }

    private func configuration(_ policies: String, above: String = "") -> String {
        """
        \(above)listeners: [{name: main, address: ":8080", policies: [{name: first, lua: "on_request = print"}]}]
        upstreams: {main: {endpoints: ["127.0.0.1:1"]}}
        routes:
          - name: all
            upstream: main
            policies:
        \(policies)
        """
    }

    @Test func faultsOfSourcesInTheConfigurationNameItsLines() throws {
        let policies = "      - name: second\n        lua: |\n          local y = 1\n\n          error('no')"
        #expect {
            _ = try make(configuration(policies))
        } throws: { error in
            (error as? DiagnosticList)?.diagnostics.map(\.description) == ["/etc/moongate.yaml:11: no"]
        }
    }

    @Test func sourcesThatOnlyMoveLeaveTheRunningEnginesAlone() throws {
        let policies = "      - {name: second, lua: \"on_log = print y = 1\"}"
        let first = try make(configuration(policies))
        #expect(try make(configuration(policies, above: "\n\n"), previous: first.program).engines.isEmpty)
        let changed = policies.replacing("y = 1", with: "y = 2")
        #expect(try make(configuration(changed), previous: first.program).engines.isEmpty == false)
        let renamed = policies.replacing("second", with: "third")
        #expect(try make(configuration(renamed), previous: first.program).engines.isEmpty == false)
    }

    /// The engines go on, and those that replace them have the new time; a reload that is refused changes nothing.
    @Test func aTimeToLoadThatChangesIsInForceOnceTheProgramIs() throws {
        func text(_ time: String) -> String {
            configuration("      - {name: second, lua: \"on_log = print\", load_time_limit: \(time)}")
        }
        let first = try make(text("20s")).program
        let next = try make(text("5s"), previous: first)
        let unit = try #require(next.program.units.last)
        #expect(next.engines.isEmpty && unit === first.units.last)
        #expect(unit.loadTimes.chunk == 20_000 && unit.loadTimes.instances == [20_000])
        next.program.takeEffect()
        #expect(unit.loadTimes.chunk == 5000 && unit.loadTimes.instances == [5000])
    }

    @Test func routesSwitchPoliciesOfTheirListenersOff() throws {
        let off = try make(configuration("      - {policy: first, disabled: true}")).program
        #expect(off.hasExceptions)
        #expect(off.listenerChain(0)?.count == 1 && off.listenerChain(0, route: -1)?.count == 1)
        #expect(off.listenerChain(0, route: 0)?.count == 0)
        let on = try make(configuration("      - {name: second, lua: \"on_log = print y = 1\"}")).program
        #expect(!on.hasExceptions && on.listenerChain(0, route: 0)?.count == 1)
    }

    @Test func onInitSeesTheSettingsAndMayRefuseThem() throws {
        let text = """
            function on_init(config)
              if config.bad then error("unknown setting bad", 0) end
              if config.worse then error("worse") end
              seen = config
            end
            function on_request(h) h:headers():add("x-same", tostring(seen == h:config())) end
            """
        let setting = { (key: String) in SettingValue.table([.init(key: key, value: .bool(true))]) }
        #expect(
            faults(["p.lua": text], [.init("p.lua", settings: setting("bad"))])
                == ["moongate.yaml:7:3: policy p: unknown setting bad"])
        #expect(
            faults(["p.lua": text], [.init("p.lua", settings: setting("worse"))]) == ["/etc/p.lua:3: worse"])
        let bench = try PolicyBench(text, settings: setting("fine"))
        let (_, call) = try bench.request()
        #expect(call.request["x-same"] == "true")
        call.end()
    }

    @Test func modulesComeFromThePolicyPath() throws {
        let bench = try PolicyBench(
            [
                "p.lua": "local m = require 'lib.words' function on_request(h) h:headers():add('x', m.word) end",
                "policies/lib/words.lua": "return { word = 'found' }",
            ], [.init("p.lua")])
        let (_, call) = try bench.request()
        #expect(call.request["x"] == "found")
        call.end()
        #expect(
            faults(["p.lua": "require 'none'"], [.init("p.lua")])
                == ["/etc/p.lua:1: module not found in the policy path (argument 1 of 'require')"])
    }

    @Test func dataFilesArePartOfTheProgram() throws {
        let text = """
            local moon = require "moon"
            local users = moon.file("users.yaml")
            local lines = moon.file("/etc/lines.txt")
            function on_request(h) h:headers():add("x", users.ada.allow[2] .. #lines) end
            """
        let data = ["/etc/users.yaml": "ada: {allow: [a, b]}\n", "/etc/lines.txt": "one\n# no\ntwo\n"]
        let bench = try PolicyBench(["p.lua": text], [.init("p.lua")], data: data)
        let (_, call) = try bench.request()
        #expect(call.request["x"] == "b2")
        call.end()
        #expect(Set(bench.program.units[0].findings.answers.keys) == ["/etc/users.yaml", "/etc/lines.txt"])
        #expect(
            faults(["p.lua": text], [.init("p.lua")]).first?.hasPrefix(
                "/etc/p.lua:2: moon.file: argument 1: no such file") == true
        )
    }

    @Test func loadingHasATimeOfItsOwn() throws {
        let busy = "local start = os.clock() while os.clock() - start < 0.2 do end"
        let limits = PolicySettings(timeLimit: .milliseconds(20), loadTimeLimit: .seconds(30))
        let bench = try PolicyBench(
            ["p.lua": "\(busy) function on_init() \(busy) end function on_request() while true do end end"],
            [.init("p.lua")], limits: limits)
        let (verdict, call) = try bench.request()
        #expect(verdict != .proceed)
        #expect(bench.log.all.contains { $0.contains("time limit of 20 ms exceeded") })
        call.end()
    }

    @Test(arguments: ["while true do end", "function on_init() while true do end end"])
    func aPolicyThatDoesNotEndLoadingIsRefused(script: String) throws {
        let limits = PolicySettings(timeLimit: .seconds(30), loadTimeLimit: .milliseconds(50))
        let error = #expect(throws: DiagnosticList.self) {
            _ = try PolicyBench(["p.lua": script], [.init("p.lua")], limits: limits)
        }
        let expected =
            "/etc/p.lua:1: time limit of 50 ms exceeded (hint: load_time_limit says how long a policy may take to load)"
        #expect(error?.description == expected)
    }

    @Test func aUseMayHaveATimeToLoadOfItsOwn() throws {
        let limits = PolicySettings(timeLimit: .milliseconds(20), loadTimeLimit: .seconds(30))
        let bench = try PolicyBench(
            ["p.lua": "function on_init() end"], [.init("p.lua")], limits: limits,
            configure: { $0.routes[0].policies[0].loadTimeLimit = .seconds(60) })
        #expect(bench.program.instances.map(\.milliseconds) == [20])
        #expect(bench.program.instances.map(\.loadMilliseconds) == [60_000])
        #expect(bench.program.units.map(\.file.loadMilliseconds) == [60_000])
    }

    @Test func enginesOfOtherWorkersLoadTheSameBytes() throws {
        let bench = try PolicyBench(
            ["p.lua": "local d = require 'moon'.file('d.txt') function on_request(h) h:headers():add('x', d[1]) end"],
            [.init("p.lua")], data: ["/etc/d.txt": "hello"])
        let engine = try PolicyEngine(bench.program.units[0], services: bench.services)
        let host = PolicyHost()
        let second = PolicySet(bench.program, [PolicyEngineLease(engine, on: host)], host: host)
        let run = try #require(second.begin(owner: nil))
        let call = try bench.call()
        run.subject = call.subject
        #expect(run.startRequest(try bench.chain) == .proceed)
        #expect(call.request["x"] == "hello")
        second.end(run)
        call.end()
    }

    @Test func manyRoutesShareOneLoadedFile() throws {
        let names = (0..<5).map { "/etc/p\($0).lua" }
        let files = Dictionary(uniqueKeysWithValues: names.map { ($0, "function on_request(h) end") })
        func make(_ routes: Int) throws -> PolicyProgram.Made {
            var config = Configuration()
            config.routes = (0..<routes).map { number in
                RouteConfig(name: "r\(number)", policies: names.map { PolicyReference(name: $0) }, upstreams: [])
            }
            let services = PolicyServices(
                logger: Logger(label: "t"), verifier: nil, registry: MetricsRegistry(workers: 1), worker: 0)
            return try PolicyProgram.make(
                config, folder: "/etc", shipped: nil, loader: .memory(files), services: services)
        }
        let few = try make(1)
        let many = try make(2000)
        #expect(many.program.units.count == 5)
        #expect(many.program.instances.count == 5)
        #expect(many.program.routeChain(1999)?.count == 5)
        let held = { (made: PolicyProgram.Made) in made.engines.reduce(0) { $0 + $1.vm.memoryInUse } }
        #expect(held(many) < held(few) + 4096)
    }

    @Test func usesWithOtherMemoryLimitsHaveOtherGlobals() throws {
        var config = Configuration()
        config.routes = [(nil, nil), (1 << 20, nil), (nil, 20), (1 << 20, 20)].enumerated().map { number, limits in
            let reference = PolicyReference(
                name: "/etc/p.lua", timeLimit: limits.1.map { .milliseconds($0) }, memoryLimit: limits.0)
            return RouteConfig(name: "r\(number)", policies: [reference], upstreams: [])
        }
        let services = PolicyServices(
            logger: Logger(label: "t"), verifier: nil, registry: MetricsRegistry(workers: 1), worker: 0)
        let made = try PolicyProgram.make(
            config, folder: "/etc", shipped: nil, loader: .memory(["/etc/p.lua": "function on_request(h) end"]),
            services: services)
        #expect(made.program.units.map(\.file.memoryLimit) == [16 << 20, 1 << 20])
        #expect(made.program.instances.map(\.milliseconds) == [50, 50, 20, 20])
        #expect(made.engines[0].instances[0].request != made.engines[0].instances[1].request)
        #expect(made.engines.map(\.vm.memory.limit) == [16 << 20, 1 << 20])
    }

    @Test func unchangedPoliciesKeepTheirMachines() throws {
        let loader = { (text: String, data: String) in
            PolicySourceLoader.memory(["/etc/p.lua": text, "/etc/d.txt": data])
        }
        let registry = MetricsRegistry(workers: 1)
        let services = PolicyServices(logger: Logger(label: "t"), verifier: nil, registry: registry, worker: 0)
        func make(_ text: String, _ data: String, _ routes: Int, _ previous: PolicyProgram?) throws
            -> PolicyProgram.Made
        {
            var config = Configuration()
            config.routes = (0..<routes).map { number in
                RouteConfig(name: "r\(number)", policies: [PolicyReference(name: "/etc/p.lua")], upstreams: [])
            }
            return try PolicyProgram.make(
                config, folder: "/etc", shipped: nil, loader: loader(text, data), previous: previous,
                services: services)
        }
        let text = "local d = require 'moon'.file('d.txt') on_request = print"
        let first = try make(text, "1", 1, nil)
        #expect(first.engines.isEmpty == false)
        let second = try make(text, "1", 3, first.program)
        #expect(second.engines.isEmpty)
        #expect(second.program.routeChain(2)?.count == 1)
        #expect(try make(text, "2", 3, second.program).engines.isEmpty == false)
        #expect(try make(text + " ", "1", 3, second.program).engines.isEmpty == false)
    }
}
