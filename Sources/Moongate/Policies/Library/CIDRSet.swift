/// A set of addresses, compiled from blocks: a look-up is one binary search, however the blocks overlap.
struct CIDRSet: Sendable, Hashable {
    private struct Interval: Sendable, Hashable {
        var first: UInt128
        var last: UInt128
    }
    /// In order, neither overlapping nor touching.
    private var v4: [Interval]
    private var v6: [Interval]

    init(_ blocks: [CIDR] = []) {
        v4 = CIDRSet.merge(blocks.filter { $0.family == .v4 }.map { Interval(first: $0.first, last: $0.last) })
        v6 = CIDRSet.merge(blocks.filter { $0.family == .v6 }.map { Interval(first: $0.first, last: $0.last) })
    }

    /// Throws the fault of the first text that is no block.
    init(parsing texts: [String]) throws(CIDRFault) {
        var blocks: [CIDR] = []
        for text in texts { blocks.append(try CIDR(text)) }
        self.init(blocks)
    }

    /// Blocks and further sets in one.
    init(_ blocks: [CIDR], and sets: [CIDRSet]) {
        let alone = CIDRSet(blocks)
        v4 = CIDRSet.merge(alone.v4 + sets.flatMap(\.v4))
        v6 = CIDRSet.merge(alone.v6 + sets.flatMap(\.v6))
    }

    var isEmpty: Bool { v4.isEmpty && v6.isEmpty }

    func contains(_ address: SocketAddress) -> Bool {
        let intervals = address.family == .v4 ? v4 : v6
        let number = address.number
        var low = 0
        var high = intervals.count
        while low < high {
            let middle = (low + high) / 2
            if intervals[middle].last < number { low = middle + 1 } else { high = middle }
        }
        return low < intervals.count && intervals[low].first <= number
    }

    /// Without the addresses of another set: a block with its exceptions, as in a NetworkPolicy's `ipBlock`.
    func subtracting(_ other: CIDRSet) -> CIDRSet {
        var result = CIDRSet()
        result.v4 = CIDRSet.subtract(other.v4, from: v4)
        result.v6 = CIDRSet.subtract(other.v6, from: v6)
        return result
    }

    func union(_ other: CIDRSet) -> CIDRSet {
        var result = CIDRSet()
        result.v4 = CIDRSet.merge(v4 + other.v4)
        result.v6 = CIDRSet.merge(v6 + other.v6)
        return result
    }

    private static func merge(_ intervals: [Interval]) -> [Interval] {
        var merged: [Interval] = []
        for interval in intervals.sorted(by: { $0.first < $1.first }) {
            if let previous = merged.last, previous.last == .max || interval.first <= previous.last + 1 {
                merged[merged.count - 1].last = max(previous.last, interval.last)
            } else {
                merged.append(interval)
            }
        }
        return merged
    }

    /// Both in order and without overlap.
    private static func subtract(_ holes: [Interval], from intervals: [Interval]) -> [Interval] {
        var result: [Interval] = []
        for interval in intervals {
            var rest: Interval? = interval
            for hole in holes {
                guard let part = rest, hole.first <= part.last else { break }
                if hole.last < part.first { continue }
                if hole.first > part.first { result.append(Interval(first: part.first, last: hole.first - 1)) }
                rest = hole.last < part.last ? Interval(first: hole.last + 1, last: part.last) : nil
            }
            if let rest { result.append(rest) }
        }
        return result
    }
}
