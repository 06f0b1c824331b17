import Testing

@testable import Moongate

@Suite struct HTTP2StreamTableTests {
    /// Against a dictionary: every number is found as long as it is there, and no longer.
    @Test func findsWhatItHolds() {
        var table = HTTP2StreamTable()
        defer { table.free() }
        let streams = UnsafeMutablePointer<HTTP2Stream>.allocate(capacity: 600)
        defer { streams.deallocate() }
        var open: [Int32: HTTP2StreamPointer] = [:]
        var free = (0..<600).map { streams + $0 }
        var random = FastRandom()
        var next: Int32 = 1
        for round in 0..<30_000 {
            let isFilling = round / 3000 % 2 == 0
            if !free.isEmpty && (open.isEmpty || random.next() % 10 < (isFilling ? 7 : 3)) {
                let stream = free.removeLast()
                stream.initialize(to: HTTP2Stream(id: next))
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
}
