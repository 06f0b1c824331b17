import MoongateConfig
import Testing

@testable import Moongate

/// Errors of the policy API go to logs, to `/policies` and, by way of scripts, to clients. Any argument may be a token that was
/// passed by mistake, so none of them may quote one.
@Suite struct APIErrorTests {
    /// A text that only an argument can have brought into a message: no name, address, number, pattern or header of anything.
    private static let secret = "tOp~SeCrEt?42 \u{1}"

    /// How the script gets at an object of each class; those that need a real connection are tested end to end.
    private static let objects = [
        "Handle": "h", "HeaderMap": "h:headers()", "StreamInfo": "h:streamInfo()",
        "DynamicMetadata": "h:streamInfo():dynamicMetadata()", "FilterState": "h:streamInfo():filterState()",
        "Metadata": "h:metadata()", "Route": "h:route()", "VirtualHost": "h:virtualHost()",
        "Connection": "h:connection()", "ConnectionStreamInfo": "h:connectionStreamInfo()",
        "ConnectionMetadata": "h:connectionStreamInfo():dynamicMetadata()",
        "AddressSet": "moon.cidr('10.0.0.0/8')", "Passwords": "moon.passwords({})", "MethodSet": "moon.methods('*')",
        "JwtVerifier": "moon.jwt.verifier({secret = ('k'):rep(64)})", "Dict": "dict", "Limit": "limit",
        "Counter": "counter", "Users": "users", "Keys": "keys", "Lines": "lines",
        "Gauge": "gauge", "Histogram": "histogram", "Stats": "h:stats()", "Buffer": "h:body()",
    ]
    private static let data = [
        "/etc/users.yaml": "ada: \((try? PasswordHash.make(password: [0x78], method: .bcrypt, cost: 4).text) ?? "")\n",
        "/etc/keys.yaml": "web: \(String(repeating: "0a", count: 32))\n", "/etc/lines.txt": "a\n",
    ]
    private static let withoutObject: Set<String> = ["TLSConnection", "ParsedSubject", "PublicKey", "GrpcMessage"]

    private static let prelude = """
        local moon = require "moon"
        local S = "tOp~SeCrEt?42 \\1"
        users, keys, lines = moon.users "users.yaml", moon.keys "keys.yaml", moon.lines "lines.txt"
        dict = moon.dict("d")
        limit = moon.limit{rate = 1}
        counter = moon.metrics.counter("c", "help", {"l"})
        gauge = moon.metrics.gauge("g")
        histogram = moon.metrics.histogram("hi")
        -- The same text in every form in which a function can get one.
        local function forms()
          return {S, {S}, {[S] = 1}, {x = S}, {name = S, key = S, dict = S, alg = S, metadata = {[S] = {}}, headers = {[S] = {}}},
            {upstream = S, path = S, headers = {x = S}, method = S, authority = S}, {{upstream = S, path = S}}, {{S, 1}},
            {status = S, rate = S, max = S, bytes = S, ttl = S, worker = S, timeout = S, labels = {S}, buckets = {S}},
            {keys = {{kty = S, kid = S}}, issuer = {S}, algorithms = {S}}, {{cidr = S}}, S .. "\\n", (" "):rep(3) .. S}
        end
        local plain = {string = "x", number = 1, table = {}, boolean = true, ["function"] = print, any = 1}
        local found = {}
        local function note(name, ok, ...)
          for _, value in ipairs({...}) do
            local text = tostring(value)
            -- What a function gives back may be made of its arguments; what it complains of may not.
            if not ok and text:find(S, 1, true) or not ok and text:find("tOp~SeCrEt", 1, true) then
              found[#found + 1] = name .. ": " .. text
            end
          end
        end
        function try(name, call, kinds)
          for place = 1, #kinds do
            for number, form in ipairs(forms()) do
              local arguments = {}
              for index, kind in ipairs(kinds) do arguments[index] = plain[kind] or 1 end
              arguments[place] = form
              note(name .. " #" .. place .. "." .. number, pcall(call, table.unpack(arguments, 1, #kinds)))
            end
          end
        end

        """

    /// The kinds of the parameters, by the plain values of the prelude.
    private static func kinds(_ function: PolicyAPI.Function) -> String {
        let kinds = function.parsed?.parameters.prefix { $0.name != "..." }.map { parameter -> String in
            let first = LuaFunctionType.members(of: parameter.type).first ?? "any"
            if first.hasPrefix("fun(") { return "function" }
            if first.hasPrefix("table") || first.hasPrefix("{") || first.hasSuffix("[]") { return "table" }
            return first == "integer" ? "number" : first
        }
        return "{" + (kinds ?? []).map { "\"\($0)\"" }.joined(separator: ", ") + "}"
    }

    private static var libraryCalls: [String] {
        PolicyAPI.libraries.flatMap { library in
            library.functions.map { function in
                let path = library.name.isEmpty ? function.name : "\(library.name).\(function.name)"
                return "try(\"\(path)\", \(path), \(kinds(function)))"
            }
        }
    }

    private static func methodCalls(_ item: PolicyAPI.Class) -> [String] {
        item.functions.map { function in
            "try(\"\(item.name).\(function.name)\", function(...) return object:\(function.name)(...) end, \(kinds(function)))"
        }
    }

    @Test func noFunctionQuotesItsArgumentsWhilePoliciesLoad() throws {
        let calls = APIErrorTests.libraryCalls
        #expect(calls.count >= 60)
        let extra = ["try(\"require\", require, {\"string\"})"]
        let source =
            APIErrorTests.prelude + (calls + extra).joined(separator: "\n")
            + "\nif #found > 0 then error(table.concat(found, \"; \"), 0) end\nfunction on_request() end"
        #expect(throws: Never.self) { _ = try bench(source) }
    }

    @Test func noFunctionQuotesItsArgumentsInAHook() throws {
        for call in APIErrorTests.libraryCalls { try check(call, "") }
    }

    @Test func everyClassOfTheAPIIsCovered() {
        let names = Set(PolicyAPI.classes.map(\.name))
        #expect(names == Set(APIErrorTests.objects.keys).union(APIErrorTests.withoutObject))
    }

    @Test(arguments: Array(objects.keys).sorted())
    func noMethodQuotesItsArguments(className: String) throws {
        let item = try #require(PolicyAPI.classes.first { $0.name == className })
        let object = try #require(APIErrorTests.objects[className])
        for call in APIErrorTests.methodCalls(item) { try check(call, "local object = \(object)") }
    }

    private func bench(_ text: String) throws -> PolicyBench {
        try PolicyBench(["p.lua": text], [PolicyBench.Use("p.lua")], data: APIErrorTests.data)
    }

    /// One function, in a request hook of its own. A call that waits ends the hook: what comes before it has been looked at.
    private func check(_ call: String, _ preparation: String) throws {
        let bench = try bench(
            APIErrorTests.prelude + """
                function on_request(h)
                  \(preparation)
                  \(call)
                  if #found > 0 then error(table.concat(found, "; "), 0) end
                end
                """)
        let (verdict, request) = try bench.request()
        if case .fail = verdict {
            let log = bench.log.all.joined(separator: "; ")
            #expect(!log.contains("tOp~SeCrEt"), "\(call): \(log.prefix(400))")
        }
        for line in bench.log.all where line.hasPrefix("error") || line.hasPrefix("warning") {
            #expect(!line.contains("tOp~SeCrEt") || call.contains(".log"), "\(call): \(line.prefix(400))")
        }
        request.end()
    }

    /// A message is made of fixed words, numbers and names that are known: anything else does not compile.
    @Test func unknownNamesAreToldByWhatIsNear() {
        #expect(
            "\(CallMessage.unknown("option", "isuer", among: ["issuer", "key"]))"
                == "unknown option: did you mean \"issuer\"? (known: issuer, key)")
        #expect(
            "\(CallMessage.unknown("option", "hunter2", among: ["issuer", "key"]))"
                == "unknown option (known: issuer, key)")
    }
}
