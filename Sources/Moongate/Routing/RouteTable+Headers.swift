/// Within a bucket: candidates that differ by their header predicates.
extension RouteTable {
    /// The first candidate whose predicates hold, as a route, or -1.
    ///
    /// - Parameter isMore: whether the path goes on behind the bucket's node.
    @inline(__always)
    func match(bucket number: Int32, isMore: Bool, headers: HeaderList) -> Int {
        let bucket = buckets[number]
        var best = Int32.max
        if bucket.unanchored >= 0 { search(bucket.unanchored, isMore, headers, &best) }
        if bucket.headerNames != 0 { searchAnchored(number, bucket, isMore, headers, &best) }
        return best == Int32.max ? -1 : Int(candidates[best].route)
    }

    /// Goes through the request's headers, not through the candidates: those that wait for another value are
    /// never touched.
    private func searchAnchored(
        _ number: Int32, _ bucket: Bucket, _ isMore: Bool, _ headers: HeaderList, _ best: inout Int32
    ) {
        // Names that were dealt with already, by ordinal; one that does not fit is looked for again.
        var seen: UInt64 = 0
        for position in 0..<headers.count {
            let name = headers[position].name
            if bucket.headerNames & Bucket.filter(name) == 0 { continue }
            let header = index.find(name, .init(.headerName, of: number), in: text)
            if header < 0 { continue }
            let anchor = headerNames[header]
            if anchor.ordinal < 64 {
                if seen & (1 << UInt64(anchor.ordinal)) != 0 { continue }
                seen |= 1 << UInt64(anchor.ordinal)
            } else if headers.index(of: name) ?? position < position {
                continue
            }
            if anchor.present >= 0 { search(anchor.present, isMore, headers, &best) }
            let list = valueList(of: header, name, position, headers)
            if list >= 0 { search(list, isMore, headers, &best) }
        }
    }

    /// The list of the candidates that want the value which `name`, first at `position`, has; -1 if there is none.
    @inline(__always)
    private func valueList(
        of header: Int32, _ name: Bytes, _ position: Int, _ headers: HeaderList
    ) -> Int32 {
        let scope = RouteIndex.Scope(.headerValue, of: header)
        guard let second = headers.index(of: name, from: position + 1) else {
            return index.find(headers[position].value, scope, in: text)
        }
        return headers.withJoinedValue(of: name, position, second) { [index, text] in index.find($0, scope, in: text) }
    }

    /// Sets `best` to the first candidate of the list that matches, if it is better.
    @inline(__always)
    private func search(
        _ list: Int32, _ isMore: Bool, _ headers: HeaderList, _ best: inout Int32
    ) {
        let range = listRanges[list]
        for place in range.start..<range.start + range.count {
            let number = lists[place]
            if number >= best { return }
            let candidate = candidates[number]
            if candidate.needsMore && !isMore { continue }
            if holds(candidate, headers) {
                best = number
                return
            }
        }
    }

    @inline(__always)
    private func holds(_ candidate: Candidate, _ headers: HeaderList) -> Bool {
        for offset in 0..<candidate.predicateCount
        where !holds(predicates[candidate.firstPredicate + offset], headers) { return false }
        return true
    }

    @inline(__always)
    private func holds(_ predicate: CompiledPredicate, _ headers: HeaderList) -> Bool {
        let name = text.bytes(predicate.name)
        guard let first = headers.index(of: name) else { return predicate.kind == .absent }
        guard let second = headers.index(of: name, from: first + 1) else {
            return RouteTable.holds(predicate, headers[first].value, text)
        }
        return headers.withJoinedValue(of: name, first, second) { [text] in RouteTable.holds(predicate, $0, text) }
    }

    /// Static, and the closures above capture values: capturing the table would cost reference counts.
    private static func holds(_ predicate: CompiledPredicate, _ value: Bytes, _ text: FlatArray<UInt8>) -> Bool {
        switch predicate.kind {
        case .exact: value.equals(text.bytes(predicate.value))
        case .prefix: value.starts(with: text.bytes(predicate.value))
        case .regex: predicate.pattern.map { TextPattern.matches($0, value) } ?? false
        case .present: true
        case .absent: false
        }
    }
}

extension HeaderList {
    /// Lends the one value of a header that is there several times, first at `first` and then at `second`:
    /// joined with `,`, cookies with `; ` (RFC 9110 §5.3, RFC 9113 §8.2.3). A copy, on the stack up to 1 KiB.
    @inline(never)
    fileprivate func withJoinedValue<Result>(
        of name: Bytes, _ first: Int, _ second: Int, _ body: (Bytes) -> Result
    ) -> Result {
        let separator = name.equals("cookie") ? Bytes("; ") : Bytes(",")
        var size = self[first].value.count
        var next: Int? = second
        while let position = next {
            size += separator.count + self[position].value.count
            next = index(of: name, from: position + 1)
        }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: size) { buffer in
            guard let base = buffer.baseAddress else { return body(.empty) }
            var end = append(self[first].value, to: base, at: 0)
            var next: Int? = second
            while let position = next {
                end = append(separator, to: base, at: end)
                end = append(self[position].value, to: base, at: end)
                next = index(of: name, from: position + 1)
            }
            return body(Bytes(base, end))
        }
    }

    private func append(_ bytes: Bytes, to base: UnsafeMutablePointer<UInt8>, at end: Int) -> Int {
        (base + end).update(from: bytes.base, count: bytes.count)
        return end + bytes.count
    }
}
