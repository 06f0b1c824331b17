import MoongateConfig

/// Orders the candidates of a bucket and finds out which headers lead to them.
extension RouteTableBuilder {
    /// What leads a request to a candidate.
    private enum Anchor: Hashable {
        /// Nothing: the candidate is tried on every request that reaches the bucket.
        case none
        /// The header is there.
        case name(String)
        /// The header has this value.
        case value(String, String)
    }

    /// Must be called with bucket numbers from 0 upwards.
    mutating func flatten(bucket: Int32, _ alternatives: [Alternative], _ text: inout RouteText) {
        let ordered = preferredFirst(alternatives)
        let shares = popularity(ordered)
        var lists: [Anchor: [Int32]] = [:]
        var order: [Anchor] = []
        for alternative in ordered {
            let anchor = self.anchor(of: alternative, shares)
            if lists[anchor] == nil { order.append(anchor) }
            lists[anchor, default: []].append(Int32(parts.candidates.count))
            appendCandidate(alternative, &text)
        }
        let unanchored = lists[.none].map { makeList($0) } ?? -1
        let names = appendAnchors(order, lists, bucket)
        parts.buckets.append(Bucket(unanchored: unanchored, headerNames: names))
    }

    /// By the number of header predicates, then in the order of the file; what stands behind a candidate
    /// without conditions can never be reached and goes.
    private func preferredFirst(_ alternatives: [Alternative]) -> [Alternative] {
        // `sorted` does not promise to keep the order of equals, so the order is part of the key.
        let ordered = alternatives.enumerated().sorted {
            ($1.element.headers.count, $0.offset) < ($0.element.headers.count, $1.offset)
        }.map(\.element)
        guard let last = ordered.firstIndex(where: { $0.headers.isEmpty && !$0.needsMore }) else { return ordered }
        return Array(ordered[...last])
    }

    /// How many candidates could be anchored where: the rarest anchor of a candidate tells it apart best.
    private func popularity(_ alternatives: [Alternative]) -> [Anchor: Int] {
        var counts: [Anchor: Int] = [:]
        for alternative in alternatives {
            for header in alternative.headers { counts[anchor(for: header), default: 0] += 1 }
        }
        return counts
    }

    private func anchor(for header: HeaderMatch) -> Anchor {
        switch header.predicate {
        case .exact(let value): return .value(header.name, value)
        case .prefix, .regex, .present: return .name(header.name)
        case .absent: return .none
        }
    }

    /// A value if there is one, else a name, else none; among equals the rarest.
    private func anchor(of alternative: Alternative, _ shares: [Anchor: Int]) -> Anchor {
        func rank(_ anchor: Anchor) -> (Int, Int) {
            switch anchor {
            case .value: return (0, shares[anchor] ?? 0)
            case .name: return (1, shares[anchor] ?? 0)
            case .none: return (2, 0)
            }
        }
        return alternative.headers.map { anchor(for: $0) }.min { rank($0) < rank($1) } ?? .none
    }

    private mutating func appendCandidate(_ alternative: Alternative, _ text: inout RouteText) {
        parts.candidates.append(
            Candidate(
                route: alternative.route, firstPredicate: Int32(parts.predicates.count),
                predicateCount: Int32(alternative.headers.count), needsMore: alternative.needsMore))
        for header in alternative.headers { parts.predicates.append(compile(header, &text)) }
    }

    private func compile(_ header: HeaderMatch, _ text: inout RouteText) -> CompiledPredicate {
        let name = text.add(header.name)
        func predicate(_ kind: CompiledPredicate.Kind, _ value: String = "") -> CompiledPredicate {
            CompiledPredicate(kind: kind, name: name, value: text.add(value), pattern: nil)
        }
        switch header.predicate {
        case .exact(let value): return predicate(.exact, value)
        case .prefix(let value): return predicate(.prefix, value)
        case .present: return predicate(.present)
        case .absent: return predicate(.absent)
        case .regex(let source):
            var compiled = predicate(.regex)
            compiled.pattern = patterns[source]?.handle
            return compiled
        }
    }

    /// Returns the filter of the names, as `Bucket.headerNames` has it.
    private mutating func appendAnchors(_ order: [Anchor], _ lists: [Anchor: [Int32]], _ bucket: Int32) -> UInt64 {
        var filter: UInt64 = 0
        var known: [String: Int32] = [:]
        for anchor in order {
            let name: String
            switch anchor {
            case .none: continue
            case .name(let text), .value(let text, _): name = text
            }
            let header = known[name] ?? Int32(parts.headerNames.count)
            if known[name] == nil {
                parts.headerNames.append(HeaderAnchor(ordinal: Int32(known.count), present: -1))
                parts.index[.init(scope: .init(.headerName, of: bucket), text: name)] = header
                filter |= name.withBytes { Bucket.filter($0) }
                known[name] = header
            }
            let list = makeList(lists[anchor] ?? [])
            if case .value(_, let value) = anchor {
                parts.index[.init(scope: .init(.headerValue, of: header), text: value)] = list
            } else {
                parts.headerNames[Int(header)].present = list
            }
        }
        return filter
    }

    private mutating func makeList(_ candidates: [Int32]) -> Int32 {
        parts.listRanges.append(ListRange(start: Int32(parts.lists.count), count: Int32(candidates.count)))
        parts.lists.append(contentsOf: candidates)
        return Int32(parts.listRanges.count - 1)
    }
}
