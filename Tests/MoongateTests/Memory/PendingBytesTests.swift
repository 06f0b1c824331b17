import Testing

@testable import Moongate

@Suite struct PendingBytesTests {
    @Test func keepsOrderThroughGrowthAndPartialWrites() {
        var pending = PendingBytes()
        defer { pending.clear() }
        var expected: [UInt8] = []
        var received: [UInt8] = []
        for round in 0..<60 {
            let part = [UInt8](repeating: UInt8(round), count: 3000)
            expected += part
            part.withBytes { pending.append($0) }
            let count = min(1700, pending.bytes.count)
            received += [UInt8](pending.bytes[0..<count].buffer)
            pending.dropFirst(count)
        }
        received += [UInt8](pending.bytes.buffer)
        #expect(received == expected)
    }

    @Test func holdsNothingWhenEverythingIsGone() {
        var pending = PendingBytes()
        [1, 2, 3].withBytes { pending.append($0) }
        pending.dropFirst(3)
        #expect(pending.isEmpty)
        #expect(pending.bytes.isEmpty)
    }
}
