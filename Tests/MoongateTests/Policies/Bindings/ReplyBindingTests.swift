import Testing

@testable import Moongate

/// `handle:respond`.
@Suite struct ReplyBindingTests {
    private func respond(_ arguments: String, _ headers: [(String, String)] = PolicyBench.grpc) throws -> (
        PolicyVerdict, PolicyBench.Call, PolicyBench
    ) {
        let bench = try PolicyBench(
            "function on_request(h) pcall(h.respond, h, \(arguments)) h:headers():add('x', 'no') end")
        let (verdict, call) = try bench.request(headers)
        return (verdict, call, bench)
    }

    private let plain = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]

    @Test(arguments: [
        (400, "13"), (401, "16"), (403, "7"), (404, "12"), (413, "2"), (429, "14"), (500, "2"), (502, "14"),
        (503, "14"),
        (504, "14"), (418, "2"),
    ])
    func statusBecomesGRPCs(status: Int, code: String) throws {
        let (verdict, call, _) = try respond(#"{[":status"] = \#(status), ["x-a"] = {"1", 2}}, "caf\u{e9} 100%""#)
        #expect(verdict == .reply)
        #expect(call.response[":status"] == "200")
        #expect(call.response["content-type"] == "application/grpc")
        #expect(call.response.all("grpc-status") == [code])
        #expect(call.response["grpc-message"] == "caf%C3%A9 100%25")
        #expect(call.response.all("x-a") == ["1", "2"])
        #expect(call.response["content-length"] == nil)
        #expect(call.body.isEmpty)
        #expect(call.request["x"] == nil)
        call.end()
    }

    @Test func aGivenGRPCStatusAndMessageAreKept() throws {
        let (_, call, _) = try respond(#"{[":status"] = "200", ["grpc-status"] = "10", ["Grpc-Message"] = "own"}"#)
        #expect(call.response.all("grpc-status") == ["10"])
        #expect(call.response.all("grpc-message") == ["own"])
        call.end()
        let (_, other, _) = try respond(
            #"{[":status"] = "429", ["grpc-status"] = 8, ["grpc-message"] = "own"}, "body""#)
        #expect(other.response.all("grpc-status") == ["8"])
        #expect(other.response.all("grpc-message") == ["body"])
        other.end()
    }

    @Test func othersGetTheStatusAndABody() throws {
        let (verdict, call, _) = try respond(
            #"{[":status"] = "403", ["x-a"] = "1", ["content-length"] = "99"}, "no""#, plain)
        #expect(verdict == .reply)
        #expect(call.response[":status"] == "403" && call.response["x-a"] == "1")
        #expect(call.response["content-type"] == "text/plain")
        #expect(call.response.all("content-length") == ["2"])
        #expect(call.body == "no")
        call.end()
        let (_, typed, _) = try respond(#"{[":status"] = 200, ["content-type"] = "text/html"}, "<p>""#, plain)
        #expect(typed.response.all("content-type") == ["text/html"])
        typed.end()
        let (_, empty, _) = try respond(#"{[":status"] = 204}, "x""#, plain)
        #expect(empty.response["content-length"] == nil && empty.body.isEmpty)
        empty.end()
    }

    @Test(arguments: [
        (#"{[":status"] = "100"}"#, ":status must be between 200-599"),
        (#"{[":status"] = 200.5}"#, ":status must be between 200-599"),
        ("{}", ":status must be between 200-599"), ("'x'", "bad argument #1 to 'respond' (table expected, got string)"),
        (#"{[":status"] = 200, ["x"] = true}"#, "headers must be texts, numbers or lists"),
        (#"{[":status"] = 200, ["x"] = {{}}}"#, "headers must be texts, numbers or lists"),
        (#"{[":status"] = 200, [5] = "x"}"#, "headers must be texts, numbers or lists"),
        (#"{[":status"] = 200, ["x"] = "a\nb"}"#, "contains a control character"),
        (#"{[":status"] = 200, ["a b"] = "x"}"#, "is no header name"),
        (#"{[":status"] = 200, [":path"] = "/"}"#, "is no header name"),
        (#"{[":status"] = 200, ["grpc-status"] = "17"}"#, "grpc-status must be between 0-16"),
    ])
    func mistakesAreScriptErrors(arguments: String, message: String) throws {
        let bench = try PolicyBench("function on_request(h) h:respond(\(arguments)) end")
        let (verdict, call) = try bench.request()
        #expect(verdict == .fail(.script))
        #expect(bench.log.all.first?.contains(message) == true, "\(bench.log.all)")
        call.end()
    }

    @Test func responseHooksMayAnswerInsteadOfTheUpstream() throws {
        let bench = try PolicyBench(
            #"function on_response(h) h:respond({[":status"] = 503, ["x-b"] = h:headers():get("x-a")}, "later") end"#)
        let (_, call) = try bench.request()
        call.response.add(":status", "200")
        call.response.add("x-a", "a")
        #expect(call.run.startResponse() == .reply)
        #expect(call.response["grpc-status"] == "14" && call.response["x-b"] == "a" && call.response["x-a"] == nil)
        call.end()
    }
}
