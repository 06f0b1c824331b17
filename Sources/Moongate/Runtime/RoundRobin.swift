/// Elements that wait in lanes, served lane by lane: one of each lane in turn, those of a lane first in, first out.
///
/// A lane that has been served goes behind all others. Elements leave one at a time, so that nothing is walked while its members
/// are told something; one that is removed is not served any more.
struct RoundRobin<Lane: Hashable, Element> {
    /// Names an element's place.
    struct Ticket {
        fileprivate let lane: Lane
        fileprivate let number: UInt64
    }

    /// First in, first out. As short as one client's requests, so that looking through it costs little.
    private struct Row {
        private var elements: [(number: UInt64, element: Element)] = []

        var isEmpty: Bool { elements.isEmpty }

        mutating func add(_ element: Element, _ number: UInt64, first: Bool) {
            elements.insert((number, element), at: first ? 0 : elements.count)
        }

        mutating func pop() -> Element? { elements.isEmpty ? nil : elements.removeFirst().element }

        mutating func remove(_ number: UInt64) -> Bool {
            guard let place = elements.firstIndex(where: { $0.number == number }) else { return false }
            elements.remove(at: place)
            return true
        }
    }

    /// Those that are in `order`.
    private var rows: [Lane: Row] = [:]
    private var order: [Lane] = []
    /// Lanes before this place have been served.
    private var next = 0
    private var lastNumber: UInt64 = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// - Parameter first: before the others of its lane.
    mutating func append(_ element: Element, to lane: Lane, first: Bool = false) -> Ticket {
        if rows[lane] == nil {
            rows[lane] = Row()
            order.append(lane)
        }
        count += 1
        lastNumber += 1
        rows[lane]?.add(element, lastNumber, first: first)
        return Ticket(lane: lane, number: lastNumber)
    }

    /// Takes the element whose turn it is.
    mutating func pop() -> Element? {
        while next < order.count {
            let lane = order[next]
            next += 1
            compact()
            let element = rows[lane]?.pop()
            if rows[lane]?.isEmpty == false { order.append(lane) } else { rows[lane] = nil }
            guard let element else { continue }
            count -= 1
            return element
        }
        return nil
    }

    /// Takes an element out of its place. Nothing happens if it has left.
    mutating func remove(_ ticket: Ticket) {
        // A lane without elements leaves when its turn comes.
        if rows[ticket.lane]?.remove(ticket.number) == true { count -= 1 }
    }

    private mutating func compact() {
        guard next >= 64, next * 2 >= order.count else { return }
        order.removeFirst(next)
        next = 0
    }
}
