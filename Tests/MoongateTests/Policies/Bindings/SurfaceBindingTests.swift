import MoongateConfig
import Testing

@testable import Moongate

/// Envoy's surface beside headers, body and calls, and the parts of a request that the handle takes apart.
@Suite struct SurfaceBindingTests {
    /// What an expression gives in a request hook; the log's first line if it fails.
    private func evaluate(
        _ expression: String, _ extra: [(String, String)] = [], path: String = "/shop.Cart/Add",
        configure: (inout Configuration) -> Void = { _ in }
    ) throws -> String? {
        let bench = try PolicyBench(
            [
                "p.lua": """
                function on_request(h)
                  local result = table.pack(\(expression))
                  for i = 1, result.n do result[i] = tostring(result[i]) end
                  h:headers():add("result", table.concat(result, " "))
                end
                """
            ], [.init("p.lua", settings: .table([.init(key: "word", value: .string("own"))]))], configure: configure)
        let head = PolicyBench.grpc.map { ($0.0, $0.0 == ":path" ? path : $0.1) }
        let (verdict, call) = try bench.request(head + extra)
        defer { call.end() }
        guard verdict == .proceed else { return bench.log.all.first }
        return call.request["result"]
    }

    @Test(arguments: [
        ("h:path()", "/a%20b/c"), ("h:query('x')", "1"), ("h:query('y z')", "a b+"), ("h:query('flag')", ""),
        ("h:query('none')", "nil"), ("h:query('')", "nil"), ("h:query('bad')", "%zz%4"), ("h:query('last')", "=v"),
    ])
    func pathAndQueryAreTakenApart(expression: String, expected: String) throws {
        let path = "/a%20b/c?x=1&x=2&&y%20z=a+b%2B&flag&bad=%zz%4&last==v"
        #expect(try evaluate(expression, path: path) == expected)
    }

    @Test func pathWithoutQueryHasNone() throws {
        #expect(try evaluate("h:path(), h:query('x')") == "/shop.Cart/Add nil")
        #expect(try evaluate("h:path(), h:query('x')", path: "/?") == "/ nil")
    }

    @Test(arguments: [
        ("h:cookie('a')", "1"), ("h:cookie('b')", "x=y"), ("h:cookie('c')", "2"), ("h:cookie('A')", "nil"),
        ("h:cookie('d')", ""), ("h:cookie('none')", "nil"), ("h:cookie('bare')", "nil"),
    ])
    func cookiesOfSeveralFieldsAreFound(expression: String, expected: String) throws {
        let fields = [("cookie", "a=1; b=x=y;bare; d="), ("cookie", "c=2; a=3")]
        #expect(try evaluate(expression, fields) == expected)
    }

    @Test(arguments: [
        ("Basic YWRhOnNlY3JldA==", "ada secret"), ("basic  YWRhOmE6Yg", "ada a:b"), ("Basic OnA=", "p"),
        ("Basic YWRh", "nil"), ("Basic !!!!", "nil"), ("Basic", "nil"), ("Basic ", "nil"), ("Bearer YWRhOmE6Yg", "nil"),
        ("Basic YWRhOnNl Y3JldA==", "nil"),
    ])
    func basicCredentialsAreDecoded(value: String, expected: String) throws {
        #expect(try evaluate("h:basicAuth()", [("authorization", value)]) == expected)
    }

    @Test(arguments: [
        ("Bearer abc.def", "abc.def"), ("BEARER   abc", "abc"), ("Bearer", "nil"), ("Bearer ", "nil"),
        ("Bearer a b", "nil"), ("Basic abc", "nil"),
    ])
    func bearerTokensAreFound(value: String, expected: String) throws {
        #expect(try evaluate("h:bearer()", [("authorization", value)]) == expected)
    }

    @Test func ambiguousCredentialsAreNone() throws {
        let twice = [("authorization", "Bearer one"), ("authorization", "Bearer two")]
        #expect(try evaluate("h:bearer(), h:basicAuth()", twice) == "nil nil")
        #expect(try evaluate("h:bearer(), h:basicAuth()") == "nil nil")
    }

    @Test(arguments: [
        ("h:grpcMetadata('x-text')", "plain"), ("h:grpcMetadata('X-Key-Bin') == 'a\\0b'", "true"),
        ("h:grpcMetadata('x-two-bin')", "one"), ("h:grpcMetadata('x-bad-bin')", "nil"),
        ("h:grpcMetadata('x-none')", "nil"), ("h:grpcMetadata('-bin')", "nil"),
    ])
    func metadataOfCallsIsDecoded(expression: String, expected: String) throws {
        let fields = [("x-text", "plain"), ("x-key-bin", "YQBi"), ("x-two-bin", "b25l,dHdv"), ("x-bad-bin", "!!")]
        #expect(try evaluate(expression, fields) == expected)
    }

    @Test(arguments: [
        ("h:requestId()", "000000000000beef"), ("h:streamInfo():virtualClusterName()", ""),
        ("h:streamInfo():dynamicTypedMetadata('x')", "nil"),
        ("h:connectionStreamInfo():dynamicTypedMetadata('x')", "nil"),
        ("h:connectionStreamInfo():dynamicMetadata():get('x')", "nil"), ("h:connection():ssl()", "nil"),
        ("h:downstreamRequestHeaders() == h:headers()", "true"), ("h:route():name()", "main"),
        ("h:virtualHost():name()", "main"),
        ("(function() for _ in pairs(h:connectionStreamInfo():dynamicMetadata()) do return 1 end end)()", ""),
    ])
    func surroundings(expression: String, expected: String) throws {
        #expect(try evaluate(expression) == expected)
    }

    // MARK: Metadata

    private static func space(_ name: String, _ value: String) -> [SettingValue.Entry] {
        [.init(key: name, value: .table([.init(key: "word", value: .string(value))]))]
    }

    @Test func C76_metadataIsThatOfThePolicysNameElseOfAllElseNone() throws {
        func read(_ metadata: [SettingValue.Entry]) throws -> String? {
            try evaluate("h:metadata():get('word'), h:route():metadata():get('word')") {
                $0.routes[0].metadata = metadata
            }
        }
        #expect(try read(Self.space("p", "named")) == "named named")
        #expect(try read(Self.space("envoy.filters.http.lua", "all")) == "all all")
        #expect(try read(Self.space("other", "x")) == "nil nil")
        #expect(try read([]) == "nil nil")
        let both = Self.space("envoy.filters.http.lua", "all") + [.init(key: "p", value: .table([]))]
        #expect(try read(both) == "nil nil")
    }

    @Test func C81_virtualHostsMetadataIsTheListenersAndEmptyWithoutAny() throws {
        let expression = "h:virtualHost():metadata():get('word')"
        let found = try evaluate(expression) { $0.listeners[0].metadata = Self.space("p", "of the listener") }
        #expect(found == "of the listener")
        #expect(try evaluate(expression) == "nil")
    }

    @Test func C82_filterContextIsTheRoutesElseThePolicysSettings() throws {
        let expression = "h:filterContext():get('word'), h:config().word"
        #expect(try evaluate(expression) == "own own")
        let context = SettingValue.table([.init(key: "word", value: .string("of the route"))])
        #expect(try evaluate(expression) { $0.routes[0].filterContext = context } == "of the route own")
        #expect(try evaluate(expression) { $0.routes[0].filterContext = .table([]) } == "nil own")
    }

    // MARK: Filter state

    @Test func filterStateGoesFromTheRequestToTheResponseHook() throws {
        let bench = try PolicyBench(
            """
            function on_request(h) h:streamInfo():filterState():set("k", "envoy.string", 5) end
            function on_response(h)
              local state = h:streamInfo():filterState()
              h:headers():add("x", state:get("k"))
              h:headers():add("x", tostring(state:get("k", "field")) .. tostring(state:get("none")))
            end
            """)
        let (_, call) = try bench.request()
        call.response.add(":status", "200")
        #expect(call.run.startResponse() == .proceed)
        #expect(call.response.all("x") == ["5", "nilnil"])
        call.end()
        let (_, next) = try bench.request()
        #expect(next.run.filterState?["k"] == "5")
        next.end()
        #expect(next.run.filterState == nil)
    }

    // MARK: What takes the place of something

    /// A stream notes its progress as long as it likes: what was noted before makes room.
    @Test(arguments: [
        (3000, #"h:streamInfo():dynamicMetadata():set("app", "progress", i)"#),
        (400, #"h:streamInfo():dynamicMetadata():set("app", "progress", {("x"):rep(1000), i})"#),
        (400, #"h:streamInfo():filterState():set("progress", "envoy.string", ("x"):rep(1000) .. i)"#),
        (1200, #"h:headers():replace("x-progress", ("x"):rep(1000) .. i)"#),
    ])
    func theSameKeyIsSetForEver(times: Int, statement: String) throws {
        let bench = try PolicyBench("function on_request(h) for i = 1, \(times) do \(statement) end end")
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed, "\(bench.log.all)")
        call.end()
    }

    /// What does not fit changes nothing, and smaller values make room.
    @Test func distinctKeysHaveABound() throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              local metadata, state = h:streamInfo():dynamicMetadata(), h:streamInfo():filterState()
              local function fill(set)
                local count = 0
                while pcall(set, "k" .. count, ("x"):rep(1000)) do count = count + 1 end
                assert(not pcall(set, "k0", ("x"):rep(3000)))
                set("k0", "")
                set("more", ("x"):rep(900))
                return count
              end
              h:headers():add("x", fill(function(key, value) metadata:set("app", key, value) end))
              h:headers():add("x", fill(function(key, value) state:set(key, "envoy.string", value) end))
              h:headers():add("x", #metadata:get("app").k1 .. " " .. #state:get("k1"))
            end
            """)
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed, "\(bench.log.all)")
        #expect(call.request.all("x") == ["238", "245", "1000 1000"])
        call.end()
    }

    // MARK: Destination

    @Test func endpointHashAndTimeoutAreHandedOn() throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              h:setHashKey("ada")
              h:setUpstreamOverrideHost("10.0.0.1:80", true)
              h:setTimeout(1.5)
              h:streamInfo():drainConnectionUponCompletion()
            end
            """)
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed)
        let wish = try #require(call.subject.wish)
        #expect(wish.hash == "ada".withBytes { StableHash.hash($0) })
        #expect(wish.address?.description == "10.0.0.1:80" && wish.isStrict)
        #expect(call.subject.timeout == 1_500_000)
        #expect(call.subject.drainsConnection)
        call.end()
        let other = try bench.call()
        #expect(other.subject.wish == nil && other.subject.timeout == nil && !other.subject.drainsConnection)
        other.end()
    }

    @Test(arguments: ["10.0.0.1", "10.0.0.1:80", "[::1]", "[::1]:80"])
    func addressesOfEveryFormAreTaken(text: String) throws {
        let bench = try PolicyBench("function on_request(h) h:setEndpoint('\(text)') end")
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed && call.subject.wish?.isStrict == false)
        call.end()
    }

    @Test func canaryIsDrawnByWeightAndStickyByHash() throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              local user = h:headers():get("x-user")
              h:headers():add("chosen", h:canary{ {"stable", 3}, {"canary", 1}, sticky = user })
            end
            """)
        var canaries = 0
        for user in 0..<400 {
            var chosen: Set<String> = []
            for _ in 0..<2 {
                let (_, call) = try bench.request(PolicyBench.grpc + [("x-user", "user-\(user)")])
                let name = try #require(call.request["chosen"])
                #expect(call.subject.upstream == (name == "canary" ? 1 : 0))
                chosen.insert(name)
                call.end()
            }
            #expect(chosen.count == 1)
            let fraction = "user-\(user)".withBytes { StableHash.fraction(StableHash.hash($0)) }
            #expect(chosen == [fraction * 4 < 3 ? "stable" : "canary"])
            if chosen == ["canary"] { canaries += 1 }
        }
        #expect((60...140).contains(canaries))
    }

    @Test func canaryWithOneWeightTakesItAlways() throws {
        for _ in 0..<20 { #expect(try evaluate("h:canary{ {'stable', 0}, {'canary', 0.5} }") == "canary") }
    }

    @Test(arguments: [
        ("h:setUpstreamOverrideHost('name:80')", "host is not a valid IP address"),
        ("h:setUpstreamOverrideHost('')", "host is not a valid IP address"),
        ("h:setUpstreamOverrideHost('::1')", "host is not a valid IP address"),
        ("h:setUpstreamOverrideHost()", "bad argument #1 to 'setUpstreamOverrideHost' (string expected, got no value)"),
        ("h:setUpstreamOverrideHost('10.0.0.1', 1)", "bad argument #2 to 'setUpstreamOverrideHost' (boolean expected"),
        ("h:setTimeout(-1)", "setTimeout: the time must be 0 to 86400000"),
        ("h:setTimeout(0/0)", "setTimeout: the time"),
        ("h:setTimeout('x')", "bad argument #1 to 'setTimeout' (number expected, got string)"),
        ("h:upstreams('none')", "argument 1 names no upstream"),
        ("h:canary{ {'none', 1} }", "canary: choice 1 names no upstream"),
        ("h:canary{}", "canary: 1 to 64 upstreams are needed"),
        ("h:canary{ {'stable', 0} }", "canary: every weight is 0"),
        ("h:canary{ {'stable', -1} }", "canary: write"), ("h:canary{ {'stable'} }", "canary: write"),
        ("h:canary{ {'stable', 1}, sticky = 5 }", "canary: sticky must be a text"),
        ("h:canary{ {'stable', 1}, stiky = 'x' }", "canary: write"), ("h:canary{ {print, 1} }", "canary: write"),
        ("h:streamInfo():filterState():set('a', 'nope', 'x')", "does not have an object factory"),
        (
            "h:streamInfo():filterState():set('a', 'envoy.string', ('x'):rep(300000))",
            "filterState would hold more than 256 KiB"
        ),
    ])
    func mistakesAreScriptErrors(expression: String, message: String) throws {
        #expect(try evaluate(expression)?.contains(message) == true)
    }

    @Test func requestOnlyMethodsRaiseOnResponses() throws {
        let methods = ["setEndpoint('10.0.0.1')", "setHashKey('x')", "setTimeout(1)", "canary{ {'stable', 1} }"]
        for method in methods {
            let bench = try PolicyBench("function on_request() end function on_response(h) h:\(method) end")
            let (_, call) = try bench.request()
            call.response.add(":status", "200")
            #expect(call.run.startResponse() == .fail(.script))
            #expect(bench.log.all.first?.contains("is for request hooks") == true, "\(method)")
            call.end()
        }
        let bench = try PolicyBench(
            "function on_request() end function on_response(h) h:setUpstreamOverrideHost('10.0.0.1') end")
        let (_, call) = try bench.request()
        #expect(call.run.startResponse() == .proceed && call.subject.wish == nil)
        call.end()
    }

    @Test func deprecationOfConnectionIsLoggedOnce() throws {
        let bench = try PolicyBench("function on_request(h) h:connection():ssl() h:connection():ssl() end")
        for _ in 0..<2 { try bench.request().1.end() }
        #expect(bench.log.all.count == 1)
        #expect(bench.log.all[0].hasPrefix("warning: connection():ssl() is deprecated"))
    }
}
