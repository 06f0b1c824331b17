import Testing

@testable import Moongate

/// The header map, case by case.
@Suite struct HeadersBindingTests {
    private static let some =
        PolicyBench.grpc + [
            ("x-many", "one"), ("x-many", ""), ("X-Upper", "u"), ("cookie", "a=1"), ("cookie", "b=2"),
        ]

    /// What `expression` gives, as text.
    private func evaluate(_ expression: String) throws -> String? {
        let bench = try PolicyBench(
            """
            function on_request(h)
              local headers = h:headers()
              local result = table.pack(\(expression))
              for i = 1, result.n do result[i] = tostring(result[i]) end
              h:headers():add("result", table.concat(result, " "))
            end
            """)
        let (verdict, call) = try bench.request(HeadersBindingTests.some)
        defer { call.end() }
        guard verdict == .proceed else { return bench.log.all.first.map { String($0.split(separator: "\n")[0]) } }
        return call.request["result"]
    }

    @Test(arguments: [
        ("headers:get(':path')", "/shop.Cart/Add"), ("headers:get('X-MANY')", "one,"), ("headers:get('x-upper')", "u"),
        ("headers:get('none')", "nil"), ("headers:get('host')", "shop.example:8080"),
        ("headers:get('Host')", "shop.example:8080"),
        ("headers:get('Cookie')", "a=1; b=2"),
        ("headers:getAtIndex('x-many', 0)", "one"), ("headers:getAtIndex('x-many', 1)", ""),
        ("headers:getAtIndex('x-many', 2)", "nil"), ("headers:getAtIndex('x-many', -1)", "nil"),
        ("headers:getNumValues('x-many')", "2"), ("headers:getNumValues('none')", "0"),
        ("headers:getNumValues(':path')", "1"), ("#headers:getAll('x-many')", "2"), ("headers:has('te')", "true"),
        ("headers:has('tea')", "false"), ("headers['x-many']", "nil"), ("headers == h:headers()", "true"),
        ("h:requestHeaders() == headers", "true"), ("select('#', headers:add('a', 'b'))", "0"),
    ])
    func reading(expression: String, expected: String) throws {
        #expect(try evaluate(expression) == expected)
    }

    @Test(arguments: [
        ("headers:add('X-New', 3)", "x-new", ["3"]), ("headers:add('x-many', 10 / 2)", "x-many", ["one", "", "5"]),
        ("headers:replace('x-many', 'r')", "x-many", ["r"]), ("headers:set('fresh', 'f')", "fresh", ["f"]),
        ("headers:remove('x-many')", "x-many", []), ("headers:remove('none')", "none", []),
        ("headers:replace(':path', '/a/b')", ":path", ["/a/b"]), ("headers:replace('host', 'h')", ":authority", ["h"]),
        ("headers:add(':path', '/second')", ":path", ["/shop.Cart/Add,/second"]),
        ("headers:add('pad', '  v\t')", "pad", ["v"]), ("headers:remove('host')", ":authority", []),
    ])
    func writing(statement: String, name: String, values: [String]) throws {
        let bench = try PolicyBench("function on_request(h) local headers = h:headers() \(statement) end")
        let (verdict, call) = try bench.request(HeadersBindingTests.some)
        #expect(verdict == .proceed, "\(bench.log.all)")
        #expect(call.request.all(name) == values)
        #expect(call.subject.requestWritten)
        // The bench has one route, without conditions: no header but the path can change it.
        #expect(call.subject.routeCacheCleared == (name == ":path"))
        call.end()
    }

    @Test(arguments: [
        (#"headers:add("x-a", "a\r\nb: c")"#, "contains a control character"),
        (#"headers:add("x-a", "a\0b")"#, "contains a control character"),
        (#"headers:add("bad name", "v")"#, "a name is no header name"),
        (#"headers:add("", "v")"#, "a name is no header name"),
        (#"headers:add(":status", "200")"#, "a name is no header name"),
        (#"headers:add(":new", "v")"#, "a name is no header name"),
        (#"headers:add("connection", "close")"#, "do not exist in HTTP/2"),
        (#"headers:replace("te", "gzip")"#, "can only be 'trailers'"),
        (#"headers:replace(":path", "x")"#, "must begin with a slash"),
        (#"headers:remove(":path")"#, "cannot be removed"),
        (#"headers:add("x-a", nil)"#, "bad argument #2 to 'add' (string expected, got nil)"),
        (#"headers:add("x-a", {})"#, "bad argument #2 to 'add' (string expected, got table)"),
        (#"headers:get(nil)"#, "bad argument #1 to 'get' (string expected, got nil)"),
        (#"for k in pairs(headers) do headers:add("x", k) end"#, "header map cannot be modified while iterating"),
        (#"for i = 1, 100000 do headers:add("x", "v") end"#, "the headers have grown too large"),
        (#"headers:add("x", ("v"):rep(1 << 20))"#, "the headers have grown too large"),
        ("headers:nosuch()", "attempt to call a nil value (method 'nosuch')"),
    ])
    func mistakesAreScriptErrors(statement: String, message: String) throws {
        let bench = try PolicyBench("function on_request(h) local headers = h:headers() \(statement) end")
        let (verdict, call) = try bench.request(HeadersBindingTests.some)
        #expect(verdict == .fail(.script))
        #expect(bench.log.all.first?.contains(message) == true, "\(bench.log.all)")
        call.end()
    }

    @Test func pairsGivesPseudoHeadersFirstThenTheOrderOfArrival() throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              local names = {}
              for name, value in pairs(h:headers()) do names[#names + 1] = name .. "=" .. value end
              h:headers():add("result", table.concat(names, " "))
              for _ in pairs(h:headers()) do break end
              h:headers():add("after", "break")
            end
            """)
        let (verdict, call) = try bench.request([(":method", "POST"), (":path", "/"), ("x-b", "1"), ("x-a", "2")])
        #expect(verdict == .proceed)
        #expect(call.request["result"] == ":method=POST :path=/ x-b=1 x-a=2")
        #expect(call.request["after"] == "break")
        call.end()
    }

    @Test func responseHooksWriteTheResponseAndReadTheRequest() throws {
        let bench = try PolicyBench(
            """
            function on_response(h)
              h:headers():add("x-path", h:requestHeaders():get(":path"))
              h:headers():replace(":status", 418)
            end
            """)
        let (_, call) = try bench.request()
        call.response.add(":status", "200")
        #expect(call.run.startResponse() == .proceed)
        #expect(call.response["x-path"] == "/shop.Cart/Add")
        #expect(call.response[":status"] == "418")
        #expect(!call.subject.routeCacheCleared)
        call.end()
    }
}
