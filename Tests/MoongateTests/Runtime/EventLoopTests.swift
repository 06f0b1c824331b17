import Glibc
import Testing

@testable import Moongate

@Suite struct EventLoopTests {
    @Test func postedWorkRunsInOrderOnTheLoopsThread() throws {
        let loop = try EventLoop()
        let mailbox = loop.mailbox
        let order = OrderLog()
        let thread = try OSThread.start(name: "poster") {
            for number in 0..<100 { mailbox.post { order.append(number) } }
        }
        thread.join()
        loop.turn(limit: 1000)
        #expect(order.numbers == Array(0..<100))
    }

    @Test func readableDescriptorsAreReported() throws {
        let loop = try EventLoop()
        var pair: [Int32] = [0, 0]
        #expect(pipe(&pair) == 0)
        defer { pair.forEach { close($0) } }
        let handler = Reader(pair[0])
        try loop.add(pair[0], 1, handler)
        write(pair[1], "x", 1)
        loop.turn(limit: 1000)
        #expect(handler.received == 1)
    }

    @Test func timersFireAndCanBeSetAgain() throws {
        let loop = try EventLoop()
        var fired = 0
        let timer = OwnedTimer(loop) { fired += 1 }
        timer.set(after: 2_000_000)
        let start = Clock.now()
        while fired == 0 { loop.turn(limit: 1000) }
        #expect(Clock.now() - start >= 2_000_000)
        timer.set(after: 1_000_000)
        while fired == 1 { loop.turn(limit: 1000) }
        #expect(fired == 2)
    }

    @Test func flushComesAtTheEndOfTheTurn() throws {
        let loop = try EventLoop()
        let handler = Flusher()
        loop.mailbox.post {}
        loop.flushLater(handler)
        loop.turn(limit: 1000)
        #expect(handler.flushes == 1)
    }
}

private final class OrderLog: @unchecked Sendable {
    var numbers: [Int] = []
    func append(_ number: Int) { numbers.append(number) }
}

private final class Reader: EventHandler {
    let descriptor: Int32
    var received = 0
    init(_ descriptor: Int32) { self.descriptor = descriptor }
    override func ready(_ events: UInt32) {
        var byte: UInt8 = 0
        received += read(descriptor, &byte, 1)
    }
}

private final class Flusher: EventHandler {
    var flushes = 0
    override func flush() { flushes += 1 }
}
