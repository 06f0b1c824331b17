import Testing

@testable import Moongate

@Suite struct HeadersPolicyTests {
    @Test func G5RequestHeadersAreRemovedSetAndAdded() throws {
        let bench = try ShippedPolicy.bench(
            "headers",
            """
            request:
              remove: [X-Gone, x-missing]
              set: {x-old: new, X-Fresh: f}
              add: {x-kept: added, x-two: [1, b]}
            """)
        let (verdict, call) = try bench.request(
            PolicyBench.grpc + [
                ("x-gone", "1"), ("x-gone", "2"), ("x-old", "1"), ("x-old", "2"), ("x-kept", "0"), ("x-alone", "a"),
            ])
        defer { call.end() }
        #expect(verdict == .proceed)
        #expect(call.request.all("x-gone") == [])
        #expect(call.request.all("x-old") == ["new"])
        #expect(call.request.all("x-fresh") == ["f"])
        #expect(call.request.all("x-kept") == ["0", "added"])
        #expect(call.request.all("x-two") == ["1", "b"])
        #expect(call.request.all("x-alone") == ["a"])
    }

    @Test func responsesHaveTheirOwnChanges() throws {
        let bench = try ShippedPolicy.bench("headers", "response: {remove: [server], set: {x-edge: e}, add: {vary: b}}")
        let (_, call) = try bench.request(PolicyBench.grpc + [("server", "asked")])
        defer { call.end() }
        #expect(call.request.all("server") == ["asked"])
        for (name, value) in [(":status", "200"), ("server", "x"), ("vary", "a")] { call.response.add(name, value) }
        #expect(call.run.startResponse() == .proceed)
        #expect(call.response.all("server") == [])
        #expect(call.response.all("x-edge") == ["e"])
        #expect(call.response.all("vary") == ["a", "b"])
        #expect(call.response.all(":status") == ["200"])
    }

    @Test func removeComesBeforeSetComesBeforeAdd() throws {
        let bench = try ShippedPolicy.bench("headers", "request: {add: {x: c}, set: {x: b}, remove: [x]}")
        let (_, call) = try bench.request(PolicyBench.grpc + [("x", "a")])
        defer { call.end() }
        #expect(call.request.all("x") == ["b", "c"])
    }

    @Test(arguments: [
        ("request: {sett: {}}", "unknown setting \"sett\" in request (known: add, remove, set)"),
        ("request: 3", "request must have add, remove or set"),
        ("request: {remove: x}", "request.remove must be a list or a map"),
        ("response: {set: {a: [b]}}", "response.set: a must be a text"),
        ("response: {set: {a: true}}", "response.set: a must be a text"),
        ("request: {remove: [true]}", "request.remove: must be a list of names"),
    ])
    func mistakesAreRefused(settings: String, unhealthyReason: String) throws {
        #expect(
            try ShippedPolicy.unhealthyReason("headers", settings)
                == "moongate.yaml:7:3: policy headers: \(unhealthyReason)")
    }
}
