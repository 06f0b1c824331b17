import Testing

@testable import Moongate

/// `headers:removeCookie`: what it takes out of one `cookie` field and of several.
@Suite struct RemoveCookieTests {
    @Test(arguments: [
        (["a=1"], ["a=1"]), (["t=1"], []), (["a=1; t=2; b=3"], ["a=1; b=3"]), (["t=1; a=2"], ["a=2"]),
        (["a=1; t=2"], ["a=1"]), (["t=1; t=2; t=3"], []), (["a=1;t=2;b=3"], ["a=1;b=3"]),
        (["a=1", "t=2", "b=3"], ["a=1", "b=3"]), (["t=1", "t=2; a=3", "t=4"], ["a=3"]),
        (["xt=1; T=2; tt=3; t"], ["xt=1; T=2; tt=3; t"]), ([" t =1; a=2"], ["a=2"]), (["t==1; a=t=1"], ["a=t=1"]),
        (["a=\"x\"; t=; b"], ["a=\"x\"; b"]), (["a=1;  b=2 ;t=3"], ["a=1;  b=2"]), (["t"], ["t"]),
        ([";t=1;;a=2"], ["a=2"]),
    ])
    func theNamedCookieGoesAndOthersStay(sent: [String], left: [String]) throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              h:headers():removeCookie("t")
              assert(h:cookie "t" == nil)
            end
            """)
        let (verdict, call) = try bench.request(
            PolicyBench.grpc + [("x-before", "1")] + sent.map { ("cookie", $0) } + [("x-after", "2")])
        #expect(verdict == .proceed, "\(bench.log.all)")
        #expect(call.request.all("cookie") == left)
        #expect(call.request["x-before"] == "1" && call.request["x-after"] == "2")
        #expect(call.subject.requestWritten == (sent != left))
        call.end()
    }

    @Test func aRequestThatIsGoneIsNotChanged() throws {
        let bench = try PolicyBench("function on_response(h) h:requestHeaders():removeCookie('t') end")
        let (_, call) = try bench.request(PolicyBench.grpc + [("cookie", "t=1")])
        #expect(call.request.all("cookie") == ["t=1"])
        call.end()
    }
}
