import Testing

@testable import Moongate

@Suite struct FaultTests {
    @Test func S5beforeTheHeadAFaultIsAWholeAnswer() {
        let outcome = FaultOutcome(headSent: false, isGRPC: true, atMessageBoundary: true, end: .cancelled)
        #expect(outcome == .reply)
    }

    @Test func X3atAMessageBoundaryAFaultIsTrailers() {
        let outcome = FaultOutcome(headSent: true, isGRPC: true, atMessageBoundary: true, end: .cancelled)
        #expect(outcome == .trailers)
    }

    @Test func X3withinAMessageTheResetKeepsItsCode() {
        let outcome = FaultOutcome(headSent: true, isGRPC: true, atMessageBoundary: false, end: .overloaded)
        #expect(outcome == .reset(.overloaded))
    }

    @Test func X3aCutResponseNeverEndsWithoutError() {
        for isGRPC in [true, false] {
            let outcome = FaultOutcome(headSent: true, isGRPC: isGRPC, atMessageBoundary: false, end: .complete)
            #expect(outcome == .reset(.internalError))
        }
    }

    @Test(
        arguments: [
            (0, GRPCStatus.internal), (1, .internal), (2, .internal), (7, .unavailable), (8, .cancelled),
            (11, .resourceExhausted), (12, .permissionDenied), (5, .internal), (99, .internal),
        ] as [(UInt32, GRPCStatus)])
    func X1resetCodesBecomeStatuses(code: UInt32, status: GRPCStatus) {
        #expect(Fault.upstreamReset(StreamEnd(ErrorCode(rawValue: code)), nil, upstream: "main").status == status)
    }

    @Test func C3aLostConnectionIsUnavailable() {
        let fault = Fault.upstreamReset(.cancelled, .peerClosed, upstream: "main")
        #expect(fault.status == .unavailable)
        #expect(fault.message.contains("closed by the peer"))
    }
}

@Suite final class RequestCheckTests {
    private let list = HeaderList()
    private var path = CanonicalPath()

    deinit {
        list.destroy()
    }

    private func fault(_ fields: (StaticString, StaticString)...) -> Fault? {
        for (name, value) in fields { list.add(name, value) }
        return RequestCheck.normalize(list, &path, .strict)
    }

    @Test func R11hostAloneBecomesTheAuthority() {
        #expect(fault((":method", "POST"), (":path", "/a/b"), ("host", "x:1")) == nil)
        #expect(list.value(.authority)?.string == "x:1")
        #expect(list.value(.host) == nil)
    }

    @Test func R11aNeverIndexedHostBecomesSuchAnAuthority() {
        list.add(":method", "POST")
        list.add(":path", "/a")
        list.add(name: Bytes("host"), value: Bytes("x"), neverIndexed: true)
        #expect(RequestCheck.normalize(list, &path, .strict) == nil)
        #expect(list.first(.authority)?.neverIndexed == true)
    }

    @Test func R11equalHostIsDropped() {
        #expect(fault((":method", "POST"), (":path", "/"), (":authority", "X"), ("host", "x")) == nil)
        #expect(list.value(.host) == nil)
    }

    @Test func R11differentHostIsMalformed() {
        #expect(fault((":method", "POST"), (":path", "/"), (":authority", "x"), ("host", "y"))?.httpStatus == 400)
    }

    @Test func R11userInformationIsRefused() {
        #expect(fault((":method", "POST"), (":path", "/"), (":authority", "a@x"))?.httpStatus == 400)
    }

    @Test func R10connectIsRefused() {
        #expect(fault((":method", "CONNECT"), (":authority", "x"))?.httpStatus == 405)
    }
}
