/// The open streams of one connection by their numbers: open addressing, thread-confined.
///
/// Numbers follow each other. Left in that order they would fill places in one long row, all of which would have to be
/// looked at whenever one is emptied; so they are scattered. The peer chooses them, but not where they go: that depends on a
/// secret of the table.
struct StreamTable {
    private var places: UnsafeMutablePointer<Stream?>
    /// One less than the number of places, a power of two.
    private var mask: Int
    private(set) var count = 0
    private let seed: UInt64

    private static let smallest = 16

    init(seed: UInt64 = .random(in: .min ... .max)) {
        self.seed = seed
        places = .allocate(capacity: StreamTable.smallest)
        places.initialize(repeating: nil, count: StreamTable.smallest)
        mask = StreamTable.smallest - 1
    }

    /// The table must not be used afterwards.
    func free() { places.deallocate() }

    /// Where a number is looked for first. Both halves of the product are folded: with the lower one alone, numbers that
    /// agree in their last bits would meet whatever the seed is.
    @inline(__always) func home(_ id: Int32) -> Int {
        let product = (UInt64(UInt32(bitPattern: id)) ^ seed).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        return Int(truncatingIfNeeded: (product.high ^ product.low) >> 32) & mask
    }

    @inline(__always) subscript(id: Int32) -> Stream? {
        var place = home(id)
        while let stream = places[place] {
            if stream.id == id { return stream }
            place = (place + 1) & mask
        }
        return nil
    }

    mutating func insert(_ stream: Stream) {
        if count * 2 > mask { resize(to: (mask + 1) * 2) }
        put(stream)
        count += 1
    }

    mutating func remove(_ stream: Stream) {
        var place = home(stream.id)
        while let other = places[place], other != stream { place = (place + 1) & mask }
        guard places[place] != nil else { return }
        close(place)
        count -= 1
        if count == 0 && mask >= 16 * StreamTable.smallest { resize(to: StreamTable.smallest) }
    }

    private func put(_ stream: Stream) {
        var place = home(stream.id)
        while places[place] != nil { place = (place + 1) & mask }
        places[place] = stream
    }

    /// Empties a place; who stands behind it and would no longer be found moves up.
    private func close(_ place: Int) {
        var hole = place
        var next = (hole + 1) & mask
        while let stream = places[next] {
            let distance = (next - home(stream.id)) & mask
            if distance >= (next - hole) & mask {
                places[hole] = stream
                hole = next
            }
            next = (next + 1) & mask
        }
        places[hole] = nil
    }

    private mutating func resize(to capacity: Int) {
        let old = places
        let oldCapacity = mask + 1
        places = .allocate(capacity: capacity)
        places.initialize(repeating: nil, count: capacity)
        mask = capacity - 1
        for place in 0..<oldCapacity {
            if let stream = old[place] { put(stream) }
        }
        old.deallocate()
    }
}
