import Testing

@testable import Moongate

@Suite struct PendingStreamQueueTests {
    private let delegate = UpstreamStreamDelegate()
    private let permits = SharedLimit()

    private func pendingStream(_ number: Int) throws -> PendingStream {
        PendingStream(
            owner: StreamOwner(try #require(UnsafeMutableRawPointer(bitPattern: 16 * number))),
            delegate: Unmanaged.passUnretained(delegate))
    }

    private func add(_ number: Int, to queue: inout PendingStreamQueue) throws {
        let waits = queue.append(try pendingStream(number))
        #expect(waits)
    }

    private func index(_ entry: PendingStreamQueue.Entry?) -> Int? {
        entry.map { Int(bitPattern: $0.pendingStream.owner.pointer) / 16 }
    }

    @Test func oneThatIsForgottenWhileOthersAreToldIsNotToldAnyMore() throws {
        var queue = PendingStreamQueue(permits: permits)
        for number in 1...4 { try add(number, to: &queue) }
        var told: [Int] = []
        let end = queue.end
        while let entry = queue.pop(before: end) {
            let number = index(entry)
            told.append(number ?? 0)
            // The first one takes others with it.
            if number == 1 {
                queue.remove(try pendingStream(2).owner)
                queue.remove(try pendingStream(4).owner)
            }
        }
        #expect(told == [1, 3])
        #expect(queue.isEmpty && permits.value == 0)
    }

    @Test func oneThatWaitsAgainWaitsForTheNextRound() throws {
        var queue = PendingStreamQueue(permits: permits)
        for number in 1...3 { try add(number, to: &queue) }
        let end = queue.end
        var rounds = 0
        while let entry = queue.pop(before: end), queue.append(entry.pendingStream) { rounds += 1 }
        #expect(rounds == 3 && queue.count == 3 && permits.value == 3)
        let first = index(queue.pop())
        #expect(first == 1)
        queue.removeAll()
        #expect(permits.value == 0)
    }

    @Test func noMoreWaitThanMay() throws {
        permits.setBound(2)
        var queue = PendingStreamQueue(permits: permits)
        let result1 = try queue.append(pendingStream(1))
        #expect(result1)
        let result2 = try queue.append(pendingStream(2))
        #expect(result2)
        let result3 = try queue.append(pendingStream(3))
        #expect(!result3)
        queue.remove(try pendingStream(9).owner)
        let first = index(queue.pop())
        #expect(first == 1)
        let result4 = try queue.append(pendingStream(3))
        #expect(result4)
        #expect(queue.count == 2)
    }

    @Test func theOrderStaysOverManyRounds() throws {
        var queue = PendingStreamQueue(permits: permits)
        var (next, expected) = (1, 1)
        for _ in 0..<1000 {
            for _ in 0..<3 {
                let result5 = try queue.append(pendingStream(next))
                #expect(result5)
                next += 1
            }
            for _ in 0..<(next % 2 == 0 ? 2 : 4) where !queue.isEmpty {
                let first = index(queue.pop())
                #expect(first == expected)
                expected += 1
            }
        }
        #expect(queue.count == next - expected && permits.value == queue.count)
    }
}
