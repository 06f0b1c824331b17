import Testing

@testable import Moongate

@Suite struct ServiceMessageTests {
    /// A message with the question `a.b` and these answers.
    private func message(_ answers: [[UInt8]], questions: UInt8 = 1) -> [UInt8] {
        let head: [UInt8] = [0, 1, 0x81, 0x80, 0, questions, 0, UInt8(answers.count), 0, 0, 0, 0]
        return head + [1, 0x61, 1, 0x62, 0, 0, 33, 0, 1] + answers.flatMap { $0 }
    }

    /// The question's name by a pointer, then a record.
    private func record(type: UInt8 = 33, timeToLive: UInt8 = 9, _ data: [UInt8], length: UInt8? = nil) -> [UInt8] {
        [0xc0, 12, 0, type, 0, 1, 0, 0, 0, timeToLive, 0, length ?? UInt8(data.count)] + data
    }

    private let target: [UInt8] = [0, 1, 0, 2, 0x1f, 0x90, 2, 0x68, 0x69, 0xc0, 12]

    @Test func recordsAreRead() {
        let found = ServiceMessage.records(
            of: message([record(type: 5, timeToLive: 4, [0xc0, 12]), record(target), record(type: 1, [1, 2, 3, 4])]))
        let expected = ServiceRecords.Record(priority: 1, weight: 2, port: 8080, target: "hi.a.b")
        #expect(found == ServiceRecords(records: [expected], timeToLive: 4))
    }

    @Test func theRootAsTargetIsNoService() {
        #expect(ServiceMessage.records(of: message([record([0, 0, 0, 0, 0, 0, 0])]))?.records == [])
    }

    @Test func everyPrefixOfAMessageIsMalformed() {
        let whole = message([record(target)])
        for count in 0..<whole.count { #expect(ServiceMessage.records(of: Array(whole[..<count])) == nil) }
        #expect(ServiceMessage.records(of: whole) != nil)
    }

    @Test(
        arguments: [
            [0xc0, 39], [0xc0, 255], [0xff, 255], [0x40, 1], [0x80, 1], [1, 0x2e, 0], [1, 0x20, 0], [1, 0xe9, 0],
            [63, 1],
        ] as [[UInt8]])
    func badNamesAreMalformed(name: [UInt8]) {
        #expect(ServiceMessage.records(of: message([record([0, 1, 0, 2, 0, 3] + name)])) == nil)
    }

    @Test func aNameThatPointsAtItselfEnds() {
        // The record's data begins at octet 33, its target at 39.
        #expect(ServiceMessage.records(of: message([record([0, 1, 0, 2, 0, 3, 1, 0x61, 0xc0, 39])])) == nil)
    }

    @Test func namesThatAreTooLongAreMalformed() {
        let label = [UInt8](arrayLiteral: 63) + [UInt8](repeating: 0x61, count: 63)
        #expect(ServiceMessage.records(of: message([record([0, 1, 0, 2, 0, 3] + label + label + [0])])) != nil)
        var long = [UInt8](arrayLiteral: 0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 1, 7)
        long += [0, 1, 0, 2, 0, 3] + label + label + label + label + [0]
        #expect(ServiceMessage.records(of: message([long])) == nil)
    }

    @Test func randomBytesNeverCrash() {
        var random = FastRandom()
        for _ in 0..<20000 {
            var bytes = message([record(target), record(target)])
            for _ in 0..<4 {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            _ = ServiceMessage.records(of: bytes)
        }
    }
}
