import Testing

@testable import Moongate

@Suite struct RoundRobinTests {
    private typealias Queue = RoundRobin<String, Int>

    private func all(_ queue: inout Queue) -> [Int] {
        var elements: [Int] = []
        while let element = queue.pop() { elements.append(element) }
        return elements
    }

    @Test func lanesAreServedInTurn() {
        var queue = Queue()
        for number in 1...4 { _ = queue.append(number, to: "busy") }
        _ = queue.append(10, to: "quiet")
        _ = queue.append(20, to: "other")
        #expect(queue.count == 6)
        #expect(all(&queue) == [1, 10, 20, 2, 3, 4])
        #expect(queue.isEmpty)
    }

    @Test func servedLaneGoesBehindAllOthers() {
        var queue = Queue()
        for number in 1...3 { _ = queue.append(number, to: "busy") }
        #expect(queue.pop() == 1)
        _ = queue.append(10, to: "new")
        #expect(queue.pop() == 2)
        // One that comes again stands behind those who wait.
        _ = queue.append(4, to: "busy")
        #expect(all(&queue) == [10, 3, 4])
    }

    @Test func elementThatHasBegunGoesFirstInItsLaneOnly() {
        var queue = Queue()
        _ = queue.append(1, to: "a")
        _ = queue.append(2, to: "b")
        _ = queue.append(3, to: "b", first: true)
        #expect(all(&queue) == [1, 3, 2])
    }

    @Test func removedElementsAreNotServed() {
        var queue = Queue()
        let first = queue.append(1, to: "a")
        let second = queue.append(2, to: "a")
        _ = queue.append(3, to: "a")
        let sole = queue.append(4, to: "b")
        queue.remove(second)
        queue.remove(second)
        queue.remove(sole)
        #expect(queue.count == 2)
        #expect(queue.pop() == 1)
        queue.remove(first)
        #expect(all(&queue) == [3])
    }

    @Test func laneThatWasEmptiedStandsInTheOrderOnce() {
        var queue = Queue()
        for _ in 0..<1000 { queue.remove(queue.append(0, to: "a")) }
        _ = queue.append(1, to: "a")
        _ = queue.append(2, to: "b")
        _ = queue.append(3, to: "a")
        #expect(all(&queue) == [1, 2, 3])
    }

    @Test func manyLanesKeepTheirOrder() {
        var queue = RoundRobin<Int, Int>()
        for round in 0..<3 { for lane in 0..<500 { _ = queue.append(round * 500 + lane, to: lane) } }
        var elements: [Int] = []
        while let element = queue.pop() { elements.append(element) }
        #expect(elements == Array(0..<1500))
    }
}
