import Testing

@testable import Moongate

/// Streams of one connection, whose places in the rows are compared with a model.
@Suite struct StreamQueuesTests {
    private final class Streams {
        let bench = EngineBench(EngineSettings(side: .client, maxHeaderBytes: 1024))
        let streams: [Stream]
        let count: Int

        init(_ count: Int) {
            self.count = count
            streams = (0..<count).map { [bench] _ in bench.makeStream() }
            for index in 0..<count { bench.engine.attach(streams[index], Int32(2 * index + 1)) }
        }
    }

    /// The order in which all streams come out that can send, once the kernel takes bytes.
    private func drain(_ queues: inout StreamQueues) -> [Int32] {
        var order: [Int32] = []
        queues.unblock()
        while let stream = queues.popReady() { order.append(stream.id) }
        return order
    }

    @Test func aStreamThatIsPutElsewhereLeavesItsPlace() {
        let all = Streams(3)
        var queues = StreamQueues()
        for index in 0..<3 { queues.put(all.streams[index], .blocked) }
        // It is reset while the others wait for the kernel, or gets a window.
        queues.put(all.streams[1], .ready)
        #expect(queues.checkedCount() == 3)
        let result1 = queues.popReady()
        #expect(result1 == all.streams[1])
        #expect(queues.checkedCount() == 2)
        let order = drain(&queues)
        #expect(order == [1, 5])
    }

    @Test func thoseThatWaitedForTheKernelComeFirst() {
        let all = Streams(4)
        var queues = StreamQueues()
        queues.put(all.streams[2], .blocked)
        queues.put(all.streams[3], .blocked)
        queues.put(all.streams[0], .ready)
        queues.put(all.streams[1], .ready)
        let order = drain(&queues)
        #expect(order == [5, 7, 1, 3])
    }

    @Test(arguments: 1...20)
    func whateverIsDoneEachStreamStandsInOneRow(seed: UInt64) {
        let all = Streams(16)
        var queues = StreamQueues()
        var places = [StreamRecord.Queue](repeating: .none, count: all.count)
        var dice = FastRandom(seed: seed)
        for _ in 0..<2000 {
            let index = Int(dice.next() % UInt64(all.count))
            switch dice.next() % 8 {
            case 0...5:
                let queue = StreamRecord.Queue(rawValue: UInt8(dice.next() % 5)) ?? .none
                queues.put(all.streams[index], queue)
                // `put` into no row leaves the one where the stream stood.
                places[index] = queue
            case 6:
                guard let popped = queues.popReady() else { break }
                all.streams.firstIndex(of: popped).map { places[$0] = .none }
            default:
                queues.unblock()
                for index in places.indices where places[index] == .blocked { places[index] = .ready }
            }
            let standing = places.count { $0 != .none && $0 != .parked }
            #expect(queues.checkedCount() == standing)
            for index in places.indices { #expect(all.streams[index].queue == places[index]) }
        }
        for index in places.indices { queues.remove(all.streams[index]) }
    }
}
