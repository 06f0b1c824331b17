import Testing

@testable import Moongate

@Suite struct ArrivalsTests {
    /// What became of arrivals, in order.
    private final class Seen {
        var taken: [Int] = []
        var dropped: [Int] = []
    }

    private func arrivals(_ loop: EventLoop, _ seen: Seen) -> Arrivals<Int> {
        Arrivals(loop: loop) {
            seen.taken.append($0)
        } drop: {
            seen.dropped.append($0)
        }
    }

    @Test func someAreTakenAtOnceAndTheOthersInTheNextTurns() throws {
        let loop = try EventLoop()
        let seen = Seen()
        let arrivals = arrivals(loop, seen)
        for number in 0..<20 { arrivals.add(number, limit: 1000) }
        #expect(seen.taken == Array(0..<8))
        // A turn that has something left to do does not wait.
        loop.turn(limit: 60_000)
        #expect(seen.taken == Array(0..<16))
        // Who comes now stands behind the others.
        arrivals.add(20, limit: 1000)
        loop.turn(limit: 60_000)
        #expect(seen.taken == Array(0...20))
        arrivals.add(21, limit: 1000)
        #expect(seen.taken == Array(0...21) && seen.dropped.isEmpty)
    }

    @Test func whereTooManyWaitTheOldestGoes() throws {
        let loop = try EventLoop()
        let seen = Seen()
        let arrivals = arrivals(loop, seen)
        for number in 0..<20 { arrivals.add(number, limit: 5) }
        #expect(seen.dropped == Array(8..<15))
        loop.turn(limit: 60_000)
        #expect(seen.taken == Array(0..<8) + Array(15..<20))
    }

    @Test func allThatWaitCanBeTaken() throws {
        let loop = try EventLoop()
        let seen = Seen()
        let arrivals = arrivals(loop, seen)
        for number in 0..<20 { arrivals.add(number, limit: 1000) }
        arrivals.takeAll()
        #expect(seen.taken == Array(0..<20))
        loop.turn(limit: 0)
        #expect(seen.taken == Array(0..<20))
    }
}
