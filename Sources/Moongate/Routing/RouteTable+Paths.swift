/// Within a host group: paths, the most specific first.
extension RouteTable {
    /// The best route of `group`, or -1.
    func match(group number: Int32, path: Bytes, headers: HeaderList) -> Int {
        let group = groups[number]
        if path.count > 0 && path[0] == UInt8(ascii: "/") {
            if nodes[group.root].hasChildren {
                let route = match(tree: group.root, path: path, headers: headers)
                if route >= 0 { return route }
            }
            if group.hasMethods {
                let bucket = index.find(RouteTable.method(of: path), .init(.method, of: number), in: text)
                if bucket >= 0 {
                    let route = match(bucket: bucket, isMore: false, headers: headers)
                    if route >= 0 { return route }
                }
            }
        }
        return group.anyPath >= 0 ? match(bucket: group.anyPath, isMore: false, headers: headers) : -1
    }

    /// Goes down as far as there are nodes, then up again: whole path, longest prefix, shorter ones.
    @inline(__always)
    private func match(tree root: Int32, path: Bytes, headers: HeaderList) -> Int {
        var node = root
        var position = 1
        // Whether the path goes on behind the node.
        var isMore = true
        while nodes[node].hasChildren {
            let rest = path[position..<path.count]
            let length = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.count
            let child = index.find(rest[0..<length], .init(.element, of: node), in: text)
            if child < 0 { break }
            node = child
            position += length
            if position == path.count {
                isMore = false
                break
            }
            position += 1
        }
        if !isMore && nodes[node].exact >= 0 {
            let route = match(bucket: nodes[node].exact, isMore: false, headers: headers)
            if route >= 0 { return route }
        }
        while node != root {
            if nodes[node].prefix >= 0 {
                let route = match(bucket: nodes[node].prefix, isMore: isMore, headers: headers)
                if route >= 0 { return route }
            }
            node = nodes[node].parent
            isMore = true
        }
        return -1
    }

    /// `/service/method`: everything behind the second slash. A path without one has the method "", which no
    /// rule asks for.
    @inline(__always)
    private static func method(of path: Bytes) -> Bytes {
        let rest = path[1..<path.count]
        guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return .empty }
        return rest[slash + 1..<rest.count]
    }
}
