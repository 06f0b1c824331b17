import MoongateConfig
import Testing

@testable import Moongate

/// The handle and what hangs on it.
@Suite struct HandleBindingTests {
    private func evaluate(_ expression: String, tls: ConnectionFacts.TLS? = nil) throws -> String? {
        let settings = SettingValue.table([
            .init(key: "word", value: .string("w")), .init(key: "list", value: .list([.integer(1), .integer(2)])),
        ])
        let bench = try PolicyBench(
            [
                "p.lua": """
                local moon = require "moon"
                function on_request(h)
                  local result = table.pack(\(expression))
                  for i = 1, result.n do result[i] = tostring(result[i]) end
                  h:headers():add("result", table.concat(result, " "))
                end
                """
            ], [.init("p.lua", settings: settings)], tls: tls)
        let (verdict, call) = try bench.request()
        defer { call.end() }
        guard verdict == .proceed else { return bench.log.all.first }
        return call.request["result"]
    }

    @Test(arguments: [
        ("h:streamInfo():protocol()", "HTTP/2"), ("h:streamInfo():routeName()", "main-route"),
        ("h:streamInfo():downstreamLocalAddress()", "127.0.0.1:8080"),
        ("h:streamInfo():downstreamDirectRemoteAddress()", "10.1.2.3:5000"),
        ("h:streamInfo():downstreamRemoteAddress()", "10.1.2.3:5000"), ("h:remoteAddress()", "10.1.2.3"),
        ("h:streamInfo():requestedServerName()", ""), ("h:streamInfo():downstreamSslConnection()", "nil"),
        ("h:isGrpc()", "true"), ("h:grpcMethod()", "shop.Cart Add"), ("h:filterContext():get('word')", "w"),
        ("#h:filterContext():get('list')", "2"), ("h:metadata():get('none')", "nil"), ("h:config().word", "w"),
        ("h:base64Escape('a\\0b')", "YQBi"), ("h:base64Decode('YQBi') == 'a\\0b'", "true"),
        ("h:base64Decode('YQ')", "a"), ("h:base64Decode('YQ=')", "nil"), ("h:base64Decode('!!!!')", "nil"),
        ("h:base64Decode('')", ""),
        ("math.type(h:timestamp())", "integer"), ("#h:timestampString()", "13"),
        ("#h:timestampString(EnvoyTimestampResolution.MICROSECOND)", "16"),
        ("h:timestamp(EnvoyTimestampResolution.MILLISECOND) > 1700000000000", "true"),
        ("moon.equal('a', 'a')", "true"), ("moon.equal('a', 'b')", "false"),
        ("moon.hash('a') == moon.hash('a')", "true"),
        ("moon.hash('a') >= 0", "true"), ("moon.hash('a') == moon.hash('a', 1)", "false"),
        ("moon.random() < 1", "true"), ("moon.cidr('10.0.0.0/8'):contains(h:remoteAddress())", "true"),
        ("moon.cidr{'10.0.0.0/8'}:contains(h:streamInfo():downstreamRemoteAddress())", "true"),
        ("moon.cidr{}:contains('10.0.0.1')", "false"), ("moon.cidr{'::1'}:contains('[::1]:80')", "true"),
        ("moon == require 'moon'", "true"),
    ])
    func values(expression: String, expected: String) throws {
        #expect(try evaluate(expression) == expected)
    }

    @Test func tlsFactsAreThereOnTLS() throws {
        let tls = ConnectionFacts.TLS(version: "TLSv1.3", cipher: "C", serverName: "name")
        #expect(try evaluate("h:streamInfo():downstreamSslConnection():tlsVersion()", tls: tls) == "TLSv1.3")
        #expect(try evaluate("h:streamInfo():requestedServerName()", tls: tls) == "name")
    }

    @Test(arguments: [
        ("h:setUpstream('none')", "argument 1 names no upstream"),
        ("h:timestamp(5)", "timestamp format must be MILLISECOND."),
        ("h:logInfo({})", "bad argument #1 to 'logInfo' (string expected, got table)"),
        ("h:logInfo(nil)", "bad argument #1 to 'logInfo' (string expected, got nil)"),
        ("moon.cidr('x')", "is no IP address or CIDR block"),
        ("moon.cidr('::/0'):contains('x')", "argument 1 is no IP address"),
        ("moon.file('x')", "moon.file is for loading and on_init"),
        ("h:streamInfo():dynamicMetadata():set('a', 'b', {1, x = 2})", "unexpected type number in table key"),
        ("h:streamInfo():dynamicMetadata():set('a', 'b', print)", "unexpected type 'function' in dynamicMetadata"),
        ("h:streamInfo():dynamicMetadata():set('a', 'b', {{print}})", "unexpected type 'function' in dynamicMetadata"),
        (
            "h:streamInfo():dynamicMetadata():set('a', 'b', ('x'):rep(300000))",
            "dynamicMetadata would hold more than 256 KiB"
        ),
        ("moon.password.verify('x', 'y')", "only bcrypt"), ("moon.passwords{a = 'x'}", "user \"a\": only bcrypt"),
        ("h:config().b.c", "attempt to index a nil value"),
    ])
    func mistakesAreScriptErrors(expression: String, message: String) throws {
        #expect(try evaluate(expression)?.contains(message) == true)
    }

    @Test func routingCallsAreHandedOn() throws {
        let bench = try PolicyBench("function on_request(h) h:setUpstream('canary') h:clearRouteCache() end")
        let (_, call) = try bench.request()
        #expect(call.subject.upstream == 1)
        #expect(call.subject.routeCacheCleared)
        call.end()
        let idle = try PolicyBench("function on_request(h) h:headers():get('x') end")
        let (_, other) = try idle.request()
        #expect(other.subject.upstream == -1)
        #expect(!other.subject.routeCacheCleared)
        other.end()
    }

    @Test func logLinesCarryLevelPolicyAndRequest() throws {
        let bench = try PolicyBench("function on_request(h) h:logWarn('careful') h:logInfo(5) print('a', 1) end")
        let (_, call) = try bench.request()
        #expect(bench.log.all.count == 3)
        #expect(bench.log.all[0] == "warning: careful policy=p request=000000000000beef")
        #expect(bench.log.all[1].hasPrefix("info: 5 "))
        #expect(bench.log.all[2].hasPrefix("info: a\t1 "))
        call.end()
    }
}
