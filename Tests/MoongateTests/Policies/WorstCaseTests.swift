import CMoongate
import Glibc
import MoongateConfig
import Testing

@testable import Moongate

/// No instruction runs within a function of the API, so nothing strikes there by itself: each of them ends soon whatever it is given, or
/// looks at the time limit. Everything that the reference knows is called with the largest arguments of each kind.
@Suite(.disabled(if: mg_guard_is_held_back(), "ThreadSanitizer holds signals back")) struct WorstCaseTests {
    /// CPU time that one call may take, with a time limit of 10 ms. Without optimisation the same work takes some 20 times as long; a
    /// function without bounds takes seconds in any build.
    private static let bound = 600.0

    private static let objects = [
        "Handle": "h", "HeaderMap": "h:headers()", "StreamInfo": "h:streamInfo()",
        "DynamicMetadata": "h:streamInfo():dynamicMetadata()", "FilterState": "h:streamInfo():filterState()",
        "Metadata": "h:metadata()", "Route": "h:route()", "VirtualHost": "h:virtualHost()",
        "Connection": "h:connection()", "ConnectionStreamInfo": "h:connectionStreamInfo()",
        "ConnectionMetadata": "h:connectionStreamInfo():dynamicMetadata()",
        "AddressSet": "moon.cidr('10.0.0.0/8')", "Passwords": "moon.passwords({})", "MethodSet": "methods",
        "JwtVerifier": "moon.jwt.verifier({secret = ('k'):rep(64)})", "Dict": "dict", "Limit": "limit",
        "Counter": "counter", "Users": "users", "Keys": "keys", "Lines": "lines",
        "Gauge": "gauge", "Histogram": "histogram", "Stats": "h:stats()", "Buffer": "h:body()",
    ]
    /// Those that need a real connection or a message have no functions with arguments of any size, but `set`.
    private static let withoutObject: Set<String> = ["TLSConnection", "ParsedSubject", "PublicKey", "GrpcMessage"]

    private static let data = [
        "/etc/users.yaml": "ada: \((try? PasswordHash.make(password: [0x78], method: .bcrypt, cost: 4).text) ?? "")\n",
        "/etc/keys.yaml": "web: \(String(repeating: "0a", count: 32))\n", "/etc/lines.txt": "a\n",
    ]

    private static let script = """
        local moon = require "moon"
        users, keys, lines = moon.users "users.yaml", moon.keys "keys.yaml", moon.lines "lines.txt"
        dict, limit = moon.dict("d"), moon.limit{rate = 1}
        counter, gauge = moon.metrics.counter("c", "help", {"l"}), moon.metrics.gauge("g")
        histogram = moon.metrics.histogram("hi")
        methods = moon.methods("*")
        local list, map, texts, nested, sparse, wide = {}, {}, {}, {}, {}, {}
        for i = 1, 1 << 16 do
          list[i], map["k" .. i], texts[i], sparse[i * 1000] = i, i, "10.0.0.1", i
        end
        for i = 1, 1000 do wide[i] = ("%x"):rep(1000) end
        for _ = 1, 30 do nested = {nested, a = nested} end
        local function mebibyte(piece) return piece:rep((1 << 20) // #piece) end
        forms = {
          mebibyte("x"), mebibyte(" "), mebibyte("%2e"), mebibyte("a=b&"), mebibyte("[1,"), mebibyte("a.b-c/"),
          mebibyte("/*"), "[" .. mebibyte("1,") .. "1]", list, map, texts, nested, sparse, wide, {x = mebibyte("x"), headers = map, keys = list},
          {patterns = wide, labels = texts, values = list}, math.huge, math.maxinteger, print,
        }
        plain = {string = "x", number = 1, table = {}, boolean = true, ["function"] = print, any = 1}
        function on_request(h)
          local code = load("local h, a, b, c, d = ... " .. h:headers():get("x-code"))
          local place, form, kinds = tonumber(h:headers():get("x-place")), forms[tonumber(h:headers():get("x-form"))], {}
          for kind in h:headers():get("x-kinds"):gmatch("%a+") do kinds[#kinds + 1] = plain[kind] or 1 end
          if place > 0 then kinds[place] = form else for i = 1, #kinds do kinds[i] = form end end
          pcall(code, h, table.unpack(kinds))
        end
        """
    private static let formCount = 19

    private struct Function {
        let name: String
        let code: String
        let kinds: [String]
    }

    private static func kinds(_ function: PolicyAPI.Function) -> [String] {
        let kinds = function.parsed?.parameters.prefix { $0.name != "..." }.map { parameter -> String in
            let first = LuaFunctionType.members(of: parameter.type).first ?? "any"
            if first.hasPrefix("fun(") { return "function" }
            if first.hasPrefix("table") || first.hasPrefix("{") || first.hasSuffix("[]") { return "table" }
            return first == "integer" ? "number" : first.filter(\.isLetter)
        }
        return kinds ?? []
    }

    private static func arguments(_ count: Int) -> String {
        ["a", "b", "c", "d"].prefix(count).joined(separator: ", ")
    }

    private static var functions: [Function] {
        let libraries = PolicyAPI.libraries.flatMap { library in
            library.functions.map { function in
                let path = library.name.isEmpty ? function.name : "\(library.name).\(function.name)"
                let kinds = Array(kinds(function).prefix(4))
                return Function(
                    name: path, code: "local moon = require 'moon' \(path)(\(arguments(kinds.count)))", kinds: kinds)
            }
        }
        let methods = PolicyAPI.classes.flatMap { item -> [Function] in
            guard let object = objects[item.name] else { return [] }
            return item.functions.map { function in
                let kinds = Array(kinds(function).prefix(4))
                let call = "local o = \(object) o:\(function.name)(\(arguments(kinds.count)))"
                return Function(
                    name: "\(item.name):\(function.name)", code: "local moon = require 'moon' \(call)", kinds: kinds)
            }
        }
        return libraries + methods
    }

    @Test func everyClassOfTheAPIIsCovered() {
        let names = Set(PolicyAPI.classes.map(\.name))
        #expect(names == Set(WorstCaseTests.objects.keys).union(WorstCaseTests.withoutObject))
    }

    @Test func everyFunctionEndsSoonOrLooksAtTheTime() throws {
        let limits = PolicySettings(
            timeLimit: .milliseconds(10), loadTimeLimit: .seconds(60), memoryLimit: 1 << 30,
            policyMemoryLimit: 512 << 20)
        let bench = try PolicyBench(
            ["p.lua": WorstCaseTests.script], [.init("p.lua")], data: WorstCaseTests.data, limits: limits)
        let functions = WorstCaseTests.functions
        #expect(functions.count > 180)
        for function in functions {
            for place in 0...max(0, function.kinds.count) where !(place == 0 && function.kinds.count < 2) {
                for form in 1...WorstCaseTests.formCount where place <= function.kinds.count {
                    let time = try time(bench, function, place, form)
                    #expect(
                        time < WorstCaseTests.bound,
                        "\(function.name), argument \(place), form \(form): \(Int(time)) ms")
                }
            }
        }
    }

    /// Milliseconds of CPU time.
    private func time(_ bench: PolicyBench, _ function: Function, _ place: Int, _ form: Int) throws -> Double {
        let call = try bench.call(
            PolicyBench.grpc + [
                ("x-code", function.code), ("x-place", "\(place)"), ("x-form", "\(form)"),
                ("x-kinds", function.kinds.joined(separator: " ")),
            ])
        defer { call.end() }
        let began = now()
        _ = call.run.startRequest(try bench.chain)
        return now() - began
    }

    private func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1000 + Double(time.tv_nsec) / 1e6
    }
}
