/// Addresses in memory of their own, for the way of a request: a look-up is one binary search, and counts no references.
struct AddressRanges {
    /// IPv4 addresses stand among those of IPv6 as `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
    typealias Number = UInt128

    private let firsts: UnsafeMutableBufferPointer<Number>
    private let lasts: UnsafeMutableBufferPointer<Number>

    init(_ ranges: [ClosedRange<Number>]) {
        var merged: [ClosedRange<Number>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let previous = merged.last, range.lowerBound <= previous.upperBound {
                let end = max(previous.upperBound, range.upperBound)
                merged[merged.count - 1] = previous.lowerBound...end
            } else {
                merged.append(range)
            }
        }
        firsts = .allocate(capacity: merged.count)
        lasts = .allocate(capacity: merged.count)
        _ = firsts.initialize(from: merged.map(\.lowerBound))
        _ = lasts.initialize(from: merged.map(\.upperBound))
    }

    /// The ranges must not be used afterwards.
    func free() {
        firsts.deallocate()
        lasts.deallocate()
    }

    @inline(__always) var isEmpty: Bool { firsts.count == 0 }

    func contains(_ address: SocketAddress) -> Bool {
        let number = address.mappedNumber
        var low = 0
        var high = firsts.count
        while low < high {
            let middle = (low + high) / 2
            if lasts[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low < firsts.count && firsts[low] <= number
    }
}
