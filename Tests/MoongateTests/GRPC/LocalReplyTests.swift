import Testing

@testable import Moongate

@Suite struct LocalReplyTests {
    private func fields(
        _ status: GRPCStatus, _ http: Int, _ message: String, type: StaticString?
    ) -> (isGRPC: Bool, fields: [String]) {
        let list = HeaderList()
        defer { list.destroy() }
        list.add("left", "over")
        let isGRPC = message.withBytes {
            LocalReply.fill(list, status: status, httpStatus: http, message: $0, requestType: type.map { Bytes($0) })
        }
        return (isGRPC, (0..<list.count).map { "\(list[$0].name.string)=\(list[$0].value.string)" })
    }

    @Test func S5GRPCCallersGetEverythingInOneHeaderSection() {
        let reply = fields(.unauthenticated, 401, "who are you?\n100%", type: "application/grpc+proto")
        #expect(reply.isGRPC)
        #expect(
            reply.fields == [
                ":status=200", "content-type=application/grpc+proto", "grpc-status=16",
                "grpc-message=who are you?%0A100%25",
            ])
    }

    @Test func S5AnEmptyMessageIsLeftOut() {
        let reply = fields(.unimplemented, 404, "", type: "application/grpc")
        #expect(reply.fields == [":status=200", "content-type=application/grpc", "grpc-status=12"])
    }

    @Test(arguments: [nil, "application/json", "application/grpc-web"] as [StaticString?])
    func othersGetAStatusAndAText(type: StaticString?) {
        let reply = fields(.unimplemented, 404, "no route", type: type)
        #expect(!reply.isGRPC)
        #expect(reply.fields == [":status=404", "content-type=text/plain; charset=utf-8", "content-length=8"])
        #expect(fields(.ok, 204, "", type: type).fields == [":status=204"])
        #expect(fields(.ok, 200, "", type: type).fields == [":status=200", "content-length=0"])
    }

    @Test func longMessagesAreCutToFitClients() throws {
        let reply = fields(.internal, 500, String(repeating: "ü", count: 50_000), type: "application/grpc")
        let message = try #require(reply.fields.last)
        #expect(message == "grpc-message=" + String(repeating: "%C3%BC", count: 1024))
    }

    @Test func X3TrailersAreAppended() {
        let list = HeaderList()
        defer { list.destroy() }
        list.add("x-kept", "1")
        LocalReply.appendTrailers(to: list, status: .deadlineExceeded, message: Bytes("too late"))
        let fields = (0..<list.count).map { "\(list[$0].name.string)=\(list[$0].value.string)" }
        #expect(fields == ["x-kept=1", "grpc-status=4", "grpc-message=too late"])
    }
}
