import Testing

@testable import Moongate

@Suite struct ByteRingTests {
    @Test func messagesComeOutInOrderAcrossTheWrap() {
        let ring = ByteRing(capacity: 64)
        var written = ""
        var read = ""
        for round in 0..<40 {
            let message = "message \(round)\n"
            #expect(message.withBytes { ring.write($0) })
            written += message
            while ring.unread > 0 {
                let chunk = ring.readable()
                read += chunk.string
                ring.consume(chunk.count)
            }
        }
        #expect(read == written)
    }

    @Test func messageThatDoesNotFitLeavesNoTrace() {
        let ring = ByteRing(capacity: 64)
        let long = String(repeating: "x", count: 60)
        #expect(long.withBytes { ring.write($0) })
        #expect(!"12345".withBytes { ring.write($0) })
        #expect("1234".withBytes { ring.write($0) })
        #expect(ring.unread == 64)
    }

    @Test func twoThreadsLoseNothing() throws {
        let ring = ByteRing(capacity: 256)
        let total = 20_000
        let writer = try OSThread.start(name: "ring") {
            var next: UInt8 = 0
            for _ in 0..<total {
                let byte = next
                while !withUnsafePointer(to: byte, { ring.write(Bytes($0, 1)) }) {}
                next &+= 1
            }
        }
        var expected: UInt8 = 0
        var seen = 0
        var wrong = 0
        while seen < total {
            let chunk = ring.readable()
            for byte in chunk.buffer {
                if byte != expected { wrong += 1 }
                expected &+= 1
            }
            seen += chunk.count
            ring.consume(chunk.count)
        }
        writer.join()
        #expect(wrong == 0)
    }
}
