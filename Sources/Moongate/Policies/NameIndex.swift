/// Where names stand in a list, found by their bytes without making a text of them.
final class NameIndex: Sendable {
    /// By hash; names of one hash side by side.
    private let places: [UInt64: [Int]]
    private let names: [[UInt8]]

    init(_ names: [String]) {
        self.names = names.map { Array($0.utf8) }
        var places: [UInt64: [Int]] = [:]
        for (index, name) in names.enumerated() {
            places[name.withBytes { StableHash.hash($0) }, default: []].append(index)
        }
        self.places = places
    }

    /// The first place of a name; -1 if it is none of the list's.
    func index(of name: Bytes) -> Int {
        guard let candidates = places[StableHash.hash(name)] else { return -1 }
        for index in candidates where names[index].elementsEqual(name.buffer) { return index }
        return -1
    }
}
