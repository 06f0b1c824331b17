/// A bounded queue of several parties, which take turns: each party's elements leave in the order in which they came.
///
/// When the queue is full, the party that has most elements in it gives one up for a party that has fewer, the newest
/// one, so that a party with few elements is refused only where nobody has many.
struct FairQueue<Party: Hashable & Sendable, Element: Sendable>: Sendable {
    enum Admission {
        case queued
        /// In the place of another party's newest element, which has left the queue.
        case displaced(Element)
        case refused
    }

    private let limit: Int
    private var lines: [Party: [Element]] = [:]
    /// Those that have elements, the next one first.
    private var turns: [Party] = []
    private(set) var count = 0

    /// - Parameter limit: most elements of all parties together. The queue is short: moves cost less than a ring would.
    init(limit: Int) { self.limit = limit }

    mutating func append(_ element: Element, of party: Party) -> Admission {
        guard count >= limit else {
            add(element, party)
            return .queued
        }
        let own = lines[party]?.count ?? 0
        guard let (largest, size) = largest, size > own + 1, let displaced = takeNewest(of: largest) else {
            return .refused
        }
        add(element, party)
        return .displaced(displaced)
    }

    /// The next element, of the party whose turn it is.
    mutating func next() -> Element? {
        guard let party = turns.first, let element = lines[party]?.removeFirst() else { return nil }
        turns.removeFirst()
        count -= 1
        if lines[party]?.isEmpty ?? true { lines[party] = nil } else { turns.append(party) }
        return element
    }

    /// Takes back what the party has appended last.
    @discardableResult mutating func takeNewest(of party: Party) -> Element? {
        guard let element = lines[party]?.popLast() else { return nil }
        count -= 1
        if lines[party]?.isEmpty ?? true {
            lines[party] = nil
            turns.removeAll { $0 == party }
        }
        return element
    }

    private var largest: (party: Party, size: Int)? {
        lines.max { $0.value.count < $1.value.count }.map { ($0.key, $0.value.count) }
    }

    private mutating func add(_ element: Element, _ party: Party) {
        if lines[party] == nil { turns.append(party) }
        lines[party, default: []].append(element)
        count += 1
    }
}
