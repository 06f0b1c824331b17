import Testing

@testable import Moongate

@Suite struct ByteQueueTests {
    private let pool = BlockPool()

    @Test(arguments: [1, 100, 992, 993, 16 * 1024, 100_000])
    func whatGoesInComesOutInOrder(size: Int) {
        var queue = ByteQueue()
        let input = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for part in input.chunked(by: 997) { part.withBytes { queue.append($0, pool) } }
        #expect(queue.count == size)
        #expect(queue.drain(pool, step: 313) == input)
        #expect(queue.isEmpty)
    }

    @Test func interleavedReadsAndWritesKeepOrder() {
        var queue = ByteQueue()
        var expected: [UInt8] = []
        var received: [UInt8] = []
        for round in 0..<200 {
            let part = [UInt8](repeating: UInt8(round), count: round * 13 % 700)
            expected += part
            part.withBytes { queue.append($0, pool) }
            received += queue.take(round * 17 % 500, pool)
        }
        received += queue.drain(pool, step: 64)
        #expect(received == expected)
    }

    @Test func retainedBytesCanBeReadAgain() {
        var queue = ByteQueue()
        queue.retain()
        let input = [UInt8](repeating: 5, count: 3000)
        input.withBytes { queue.append($0, pool) }
        #expect(queue.drain(pool, step: 700) == input)
        #expect(queue.retained == 3000)
        [9, 9].withBytes { queue.append($0, pool) }
        queue.rewind()
        #expect(queue.drain(pool, step: 1000) == input + [9, 9])
        queue.clear(pool)
    }

    @Test func bytesThatAreReadAgainAreCounted() {
        var queue = ByteQueue()
        queue.retain()
        [UInt8](repeating: 1, count: 100).withBytes { queue.append($0, pool) }
        _ = queue.take(60, pool)
        queue.rewind()
        #expect(queue.reread == 60)
        _ = queue.take(20, pool)
        #expect(queue.reread == 40)
        queue.rewind()
        #expect(queue.reread == 60)
        _ = queue.take(100, pool)
        #expect(queue.reread == 0)
        #expect(queue.total == 100)
        queue.clear(pool)
        #expect(queue.total == 0)
    }

    @Test func aCopyHasEverythingThatIsHeld() {
        var queue = ByteQueue()
        queue.retain()
        let input = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        input.withBytes { queue.append($0, pool) }
        _ = queue.take(17_000, pool)
        var copy = ByteQueue()
        queue.copyAll(to: &copy, pool)
        #expect(copy.drain(pool, step: 999) == input)
        #expect(queue.drain(pool, step: 999) == Array(input[17_000...]))
        queue.clear(pool)
    }

    @Test func committedBytesAreGone() {
        var queue = ByteQueue()
        queue.retain()
        [1, 2, 3, 4].withBytes { queue.append($0, pool) }
        #expect(queue.take(2, pool) == [1, 2])
        queue.commit(pool)
        #expect(queue.retained == 0)
        #expect(queue.drain(pool, step: 10) == [3, 4])
    }

    @Test func whatWasCommittedIsNotOfferedAgain() {
        var queue = ByteQueue()
        queue.retain()
        [1, 2, 3, 4].withBytes { queue.append($0, pool) }
        #expect(queue.take(2, pool) == [1, 2])
        queue.commit(pool)
        queue.rewind()
        #expect(queue.count == 2 && queue.reread == 0)
        #expect(queue.drain(pool, step: 10) == [3, 4])
    }

    @Test func aFirstWindowTakesABlockOfItsSize() {
        #expect(
            [1, 1000, 1001, 4096, 4097, 1 << 20].map { Int(pool.take(for: $0).pointee.capacity) }
                == [1000, 1000, 4096, 4096, 16384, 16384])
    }
}

extension ByteQueue {
    fileprivate mutating func take(_ count: Int, _ pool: BlockPool) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
            done = buffer.baseAddress.map { read(into: $0, limit: count, pool) } ?? 0
        }
    }

    fileprivate mutating func drain(_ pool: BlockPool, step: Int) -> [UInt8] {
        var all: [UInt8] = []
        while !isEmpty { all += take(step, pool) }
        return all
    }
}

extension [UInt8] {
    fileprivate func chunked(by size: Int) -> [[UInt8]] {
        stride(from: 0, to: count, by: size).map { [UInt8](self[$0..<Swift.min($0 + size, count)]) }
    }

    func withBytes<Result>(_ body: (Bytes) -> Result) -> Result {
        withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return body(.empty) }
            return body(Bytes(base, buffer.count))
        }
    }
}
