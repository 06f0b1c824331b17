import Logging
import Testing

@testable import Moongate

struct RefusalLogTests {
    @Test func aFloodGetsAFewLinesAndTheNextOneCountsTheRest() {
        let captured = CapturedLog()
        let log = RefusalLog(Logger(label: "test") { _ in CapturedHandler(log: captured) })
        let start: Instant = 100_000_000_000
        for _ in 0..<50 { log.note("why", listener: "main", remote: "10.0.0.1:1", now: start) }
        #expect(captured.all.count == 10)
        #expect(captured.all.last == "info: client refused listener=main reason=why remote=10.0.0.1:1")
        log.note("why", listener: "main", remote: "10.0.0.1:1", now: start + 10_000_000_000)
        #expect(captured.all.last == "info: client refused listener=main others=40 reason=why remote=10.0.0.1:1")
    }
}
