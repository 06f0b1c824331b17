import Testing

@testable import Moongate

@Suite struct StreamTableTests {
    /// Against a dictionary: every number is found as long as it is there, and no longer.
    @Test func findsWhatItHolds() {
        var table = StreamTable()
        defer { table.free() }
        let streams = UnsafeMutablePointer<StreamRecord>.allocate(capacity: 600)
        defer { streams.deallocate() }
        var open: [Int32: Stream] = [:]
        var free = (0..<600).map { Stream(streams + $0) }
        var random = FastRandom()
        var next: Int32 = 1
        for round in 0..<30_000 {
            let isFilling = round / 3000 % 2 == 0
            if !free.isEmpty && (open.isEmpty || random.next() % 10 < (isFilling ? 7 : 3)) {
                let stream = free.removeLast()
                stream.pointer.initialize(to: StreamRecord(id: next))
                table.insert(stream)
                open[next] = stream
                next += 2
            } else if let (id, stream) = open.randomElement() {
                table.remove(stream)
                open[id] = nil
                free.append(stream)
                #expect(table[id] == nil)
            }
            #expect(table.count == open.count)
            if round % 50 == 0 { for (id, stream) in open { #expect(table[id] == stream) } }
        }
    }

    private static let choices: [[Int32]] = {
        var meeting: [Int32] = []
        var id: Int32 = 1
        while meeting.count < 500 {
            if (UInt32(bitPattern: id) &* 0x9e37_79b9) >> 12 & 1023 == 0 { meeting.append(id) }
            id += 2
        }
        return [meeting, (0..<500).map { 1 + $0 << 22 }, (0..<500).map { 1 + 2 * $0 }]
    }()

    /// Numbers that meet under a hash without a secret, and such as agree in their last bits.
    @Test(arguments: choices)
    func whereNumbersGoIsNotForTheirSenderToChoose(ids: [Int32]) {
        let streams = UnsafeMutablePointer<StreamRecord>.allocate(capacity: ids.count)
        defer { streams.deallocate() }
        var orders: Set<[Int]> = []
        for _ in 0..<3 {
            var table = StreamTable()
            defer { table.free() }
            for (index, id) in ids.enumerated() {
                (streams + index).initialize(to: StreamRecord(id: id))
                table.insert(Stream(streams + index))
            }
            let homes = ids.map { table.home($0) }
            orders.insert(homes)
            // 500 balls in 1024 places: by chance some 390 of them are taken.
            #expect(Set(homes).count > 250, "\(Set(homes).count)")
        }
        #expect(orders.count == 3)
    }
}
