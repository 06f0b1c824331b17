import MoongateConfig
import Testing

@testable import Moongate

/// Whatever a server makes of a path: if it arrives at one that is denied, the edge has denied it, or has refused the path.
@Suite struct DeniedPathTests {
    private static let denied = ["/shop.Admin/Delete", "/admin/users", "/admin"]

    @Test(arguments: [false, true], 0..<12)
    func everySpellingOfADeniedPathIsDenied(isGRPC: Bool, seed: UInt64) throws {
        var random = SeededGenerator(state: seed &+ (isGRPC ? 1000 : 0))
        let set = try MethodSet(["shop.Admin/*", "admin/*"])
        let table = try RouteTable(
            routes: [
                RouteConfig(
                    name: "denied", matches: [.init(path: .prefix("/admin")), .init(path: .service("shop.Admin"))]),
                RouteConfig(name: "all"),
            ], listeners: ["main"])
        var refused = 0
        var forwarded = 0
        for _ in 0..<4000 {
            let sent = Spelling.random(of: DeniedPathTests.denied.randomElement(using: &random) ?? "", &random)
            guard let made = canonical(sent, isGRPC: isGRPC) else {
                refused += 1
                continue
            }
            forwarded += 1
            let readings = ServerReading.all(of: made)
            guard
                readings.contains(where: { $0 == "/admin" || $0.hasPrefix("/admin/") || $0.hasPrefix("/shop.Admin/") })
            else { continue }
            guard let route = table.goesOn(made) else { continue }
            #expect(route == 0, "\(sent) is sent as \(made), read as \(readings)")
            let methods = readings.filter { $0.split(separator: "/").count == 2 }
            #expect(methods.isEmpty || made.withBytes { set.contains($0) }, "\(sent) is sent as \(made)")
        }
        #expect(refused > 100 && forwarded > 100, "\(refused) refused, \(forwarded) forwarded")
    }

    /// The same with routes that take parameters and encoded slashes, and paths that the edge does not refuse for them.
    @Test(arguments: 0..<8) func whatARouteAllowsLeadsAroundNoOther(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        var all = RouteConfig(name: "all")
        all.pathParameters = .allow
        all.encodedSlash = .keep
        var own = RouteConfig(name: "denied", matches: [.init(path: .prefix("/admin"))])
        (own.pathParameters, own.encodedSlash) = (.allow, .keep)
        let table = try RouteTable(routes: [own, all], listeners: ["main"])
        for _ in 0..<4000 {
            let sent = Spelling.random(of: "/admin/users", &random)
            guard let made = canonical(sent, isGRPC: false, taking: [.parameters, .encodedSlash]) else { continue }
            let readings = ServerReading.all(of: made)
            guard readings.contains(where: { $0 == "/admin" || $0.hasPrefix("/admin/") }) else { continue }
            guard let route = table.goesOn(made) else { continue }
            #expect(route == 0, "\(sent) is sent as \(made), read as \(readings)")
        }
    }

    /// `nil`: refused.
    private func canonical(_ path: String, isGRPC: Bool, taking: PathTraits = []) -> String? {
        let (outcome, text) = RequestPath.canonicalize(path, .strict, isGRPC: isGRPC)
        switch outcome {
        case .plain(let traits), .rewritten(_, let traits):
            let isTaken = traits.intersection([.parameters, .encodedSlash]).isSubset(of: taking)
            return isTaken ? text : nil
        case .refused: return nil
        }
    }
}

extension RouteTable {
    /// The route of a canonical path; `nil`: the request is refused, since another reading leads elsewhere.
    fileprivate func goesOn(_ path: String) -> Int? {
        RouteRequest(path: path).withList { list in
            let route = match(listener: 0, headers: list)
            return isUnambiguous(listener: 0, headers: list, route: route) ? route : nil
        }
    }
}

/// Ways to write a path that some server undoes.
private enum Spelling {
    static func random(of path: String, _ random: inout SeededGenerator) -> String {
        var text = path
        for _ in 0..<Int.random(in: 1...3, using: &random) { text = changed(text, &random) }
        return text.hasPrefix("/") ? text : "/" + text
    }

    private static func changed(_ path: String, _ random: inout SeededGenerator) -> String {
        switch Int.random(in: 0..<9, using: &random) {
        case 0...2: return encoded(path, &random)
        case 3: return inserted("/", beside: "/", path, &random)
        case 4:
            return inserted(
                ["./", "x/../", ".;a/", "%2e/", "x/..%2f"].randomElement(using: &random) ?? "", beside: "/", path,
                &random)
        case 5: return inserted([";a=b", ";", "%3Bx"].randomElement(using: &random) ?? "", beside: nil, path, &random)
        case 6:
            return replaced(
                "/", by: ["\\", "%5C", "%2F", "%2f", "//"].randomElement(using: &random) ?? "", path, &random)
        case 7:
            return path + (["/", "?x", "%3Fx", "#x", "%23", "%00", "/.", "%20"].randomElement(using: &random) ?? "")
        default: return path.replacingOccurrence(of: "%", by: "%25")
        }
    }

    private static func encoded(_ path: String, _ random: inout SeededGenerator) -> String {
        var octets = Array(path.utf8)
        guard let place = octets.indices.randomElement(using: &random), octets[place] != UInt8(ascii: "%") else {
            return path
        }
        let isUpper = Bool.random(using: &random)
        let hex = String(octets[place], radix: 16, uppercase: isUpper)
        octets.replaceSubrange(place...place, with: Array(("%" + (hex.count < 2 ? "0" : "") + hex).utf8))
        return String(decoding: octets, as: UTF8.self)
    }

    private static func places(of text: String?, _ path: String) -> [String.Index] {
        path.indices.filter { text == nil || path[$0...].hasPrefix(text ?? "") }
    }

    private static func inserted(
        _ more: String, beside text: String?, _ path: String, _ random: inout SeededGenerator
    ) -> String {
        guard let place = places(of: text, path).randomElement(using: &random) else { return path }
        var path = path
        path.insert(contentsOf: more, at: path.index(after: place))
        return path
    }

    private static func replaced(
        _ text: String, by other: String, _ path: String, _ random: inout SeededGenerator
    ) -> String {
        guard let place = places(of: text, path).dropFirst().randomElement(using: &random) else { return path }
        return path.replacingCharacters(in: place...place, with: other)
    }
}

/// What servers arrive at. Simple, and apart from the code that it is compared with.
private enum ServerReading {
    private static let steps: [@Sendable (String) -> String] = [decoded, merged, resolved, stripped, slashed]

    /// The path after any of the steps, in any order, each of them up to twice.
    static func all(of path: String) -> Set<String> {
        let plain = String(path.prefix { $0 != "?" })
        var found: Set<String> = [plain]
        var latest = found
        for _ in 0..<6 {
            let next = Set(latest.flatMap { text in steps.map { $0(text) } }).subtracting(found)
            if next.isEmpty { break }
            found.formUnion(next)
            latest = next
        }
        return found
    }

    @Sendable private static func decoded(_ text: String) -> String {
        var octets: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let octet = rest.popFirst() {
            if octet == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                octets.append(value)
                rest = rest.dropFirst(2)
            } else {
                octets.append(octet)
            }
        }
        return String(decoding: octets.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }, as: UTF8.self)
    }

    @Sendable private static func merged(_ text: String) -> String {
        text.reduce(into: "") { result, next in if next != "/" || result.last != "/" { result.append(next) } }
    }

    @Sendable private static func resolved(_ text: String) -> String {
        var segments: [Substring] = []
        for segment in text.split(separator: "/", omittingEmptySubsequences: false) {
            if segment == "." { continue }
            if segment == ".." { if segments.count > 1 { segments.removeLast() } } else { segments.append(segment) }
        }
        return segments.joined(separator: "/")
    }

    @Sendable private static func stripped(_ text: String) -> String {
        text.split(separator: "/", omittingEmptySubsequences: false).map { $0.prefix { $0 != ";" } }.joined(
            separator: "/")
    }

    @Sendable private static func slashed(_ text: String) -> String { String(text.map { $0 == "\\" ? "/" : $0 }) }
}

extension String {
    fileprivate func replacingOccurrence(of character: Character, by other: String) -> String {
        guard let place = firstIndex(of: character) else { return self }
        return self[..<place] + other + self[index(after: place)...]
    }

    fileprivate func replacingCharacters(in range: ClosedRange<Index>, with other: String) -> String {
        var copy = self
        copy.replaceSubrange(range, with: other)
        return copy
    }
}
