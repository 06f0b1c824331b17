import Testing

@testable import Moongate

@Suite struct GRPCStatusTests {
    private func parse(_ text: String) -> GRPCStatus? { text.withBytes { GRPCStatus(parsing: $0) } }

    @Test func S4StatusIsDecimalWithoutLeadingZeros() {
        for status in GRPCStatus.allCases {
            #expect(parse("\(status.rawValue)") == status)
            #expect("\(status.code)" == "\(status.rawValue)")
        }
        for text in ["", "00", "01", "016", "17", "20", "-1", "+1", " 1", "1 ", "1x", "OK", "100"] {
            #expect(parse(text) == nil, "\(text)")
        }
    }

    @Test func namesAreThoseOfTheDocumentation() {
        #expect(GRPCStatus.allCases.count == 17)
        #expect("\(GRPCStatus.unauthenticated.name)" == "UNAUTHENTICATED")
        #expect(GRPCStatus.unauthenticated.rawValue == 16)
        #expect("\(GRPCStatus.internal.name)" == "INTERNAL")
        #expect(GRPCStatus.internal.rawValue == 13)
        #expect(Set(GRPCStatus.allCases.map { "\($0.name)" }).count == 17)
    }

    @Test(arguments: [
        (200, 2), (400, 13), (401, 16), (403, 7), (404, 12), (413, 2), (418, 2), (429, 14), (431, 13), (500, 2),
        (502, 14),
        (503, 14), (504, 14), (302, 2),
    ])
    func S6HTTPStatusIsMappedForClientsWithoutGRPCStatus(http: Int, code: UInt8) {
        #expect(GRPCStatus(httpStatus: http).rawValue == code)
    }

    @Test(arguments: [
        (400, 13), (401, 16), (403, 7), (404, 12), (413, 2), (429, 14), (431, 2), (500, 2), (502, 14), (503, 14),
        (504, 14),
    ])
    func C73RespondIsMappedAsEnvoyDoes(http: Int, code: UInt8) {
        #expect(GRPCStatus(respondStatus: http).rawValue == code)
    }

    @Test func S8StatusIsMappedBackToHTTP() {
        let expected = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]
        #expect(GRPCStatus.allCases.map(\.httpStatus) == expected)
    }

    @Test func X1ResetCodesAreMapped() {
        let expected: [UInt8] = [13, 13, 13, 13, 13, 13, 13, 14, 1, 13, 13, 8, 7, 13]
        for (code, status) in expected.enumerated() {
            #expect(GRPCStatus(StreamEnd(ErrorCode(rawValue: UInt32(code)))).rawValue == status, "\(code)")
        }
        #expect(GRPCStatus(StreamEnd(ErrorCode(rawValue: .max))) == .internal)
        #expect(GRPCStatus(.cutOff) == .unavailable)
    }
}
