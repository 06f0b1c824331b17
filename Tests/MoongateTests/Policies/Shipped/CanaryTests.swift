import Testing

@testable import Moongate

@Suite struct CanaryTests {
    /// Whether each of these requests goes to the canary, which is upstream 1 of the bench.
    private func isCanary(_ settings: String, _ requests: [[String: String]]) throws -> [Bool] {
        let bench = try ShippedPolicy.bench("canary", settings)
        return try requests.map { headers in
            let (verdict, call) = try bench.request(ShippedPolicy.request(headers))
            defer { call.end() }
            #expect(verdict == .proceed)
            #expect([-1, 1].contains(call.subject.upstream))
            return call.subject.upstream == 1
        }
    }

    private func share(_ settings: String, _ requests: [[String: String]]) throws -> Double {
        Double(try isCanary(settings, requests).count { $0 }) / Double(requests.count)
    }

    private func users(_ count: Int) -> [[String: String]] { (0..<count).map { ["x-user": "user-\($0)"] } }

    @Test func aHeaderDecides() throws {
        let requests = [["env": "canary"], ["env": "Canary"], ["env": "stable"], [:]]
        #expect(try isCanary("{upstream: canary, header: env}", requests) == [true, false, false, false])
        #expect(
            try isCanary("{upstream: canary, header: env, value: stable}", requests) == [false, false, true, false])
    }

    @Test func theHeaderGoesBeforeTheWeight() throws {
        let all = "{upstream: canary, header: env, weight: 100}"
        #expect(try isCanary(all, [["env": "canary"], ["env": "no"], [:]]) == [true, false, true])
    }

    @Test func theWeightIsAShare() throws {
        let requests = [[String: String]](repeating: [:], count: 2000)
        #expect(abs(try share("{upstream: canary, weight: 30}", requests) - 0.3) < 0.06)
        #expect(try share("{upstream: canary, weight: 0}", requests) == 0)
        #expect(try share("{upstream: canary, weight: 100}", requests) == 1)
    }

    @Test func aStickyHeaderDecidesTheSameEveryTimeAndEverywhere() throws {
        let settings = "{upstream: canary, weight: 20, sticky: x-user}"
        let first = try isCanary(settings, users(1000))
        #expect(try isCanary(settings, users(1000)) == first)
        #expect(abs(try share(settings, users(1000)) - 0.2) < 0.04)
    }

    @Test func whoIsInStaysInAsTheShareGrows() throws {
        let small = try isCanary("{upstream: canary, weight: 5, sticky: x-user}", users(1000))
        let large = try isCanary("{upstream: canary, weight: 12.5, sticky: x-user}", users(1000))
        #expect(small.contains(true))
        #expect(zip(small, large).allSatisfy { !$0 || $1 })
    }

    @Test func anotherCanaryPicksOtherUsers() throws {
        let bench = try ShippedPolicy.bench("canary", "{upstream: stable, weight: 50, sticky: x-user}")
        let others = try users(400).map { headers in
            let (_, call) = try bench.request(ShippedPolicy.request(headers))
            defer { call.end() }
            return call.subject.upstream == 0
        }
        let both = zip(try isCanary("{upstream: canary, weight: 50, sticky: x-user}", users(400)), others)
        #expect(abs(both.count { $0 && $1 } - 100) < 40)
    }

    @Test(arguments: [
        ("{weight: 5}", "upstream is missing"), ("{upstream: canary, weight: 101}", "weight must be 0 to 100"),
        ("{upstream: canary, weight: -1}", "weight must be 0 to 100"), ("{upstream: 7}", "upstream must be a string"),
        ("{upstream: canary, weight: \"5\"}", "weight must be a number"),
        ("{upstream: canary, value: x}", "value needs header"),
        ("{upstream: canary, sticky: x-user}", "sticky needs weight"),
        ("{upstream: canary}", "header or weight is missing"),
    ])
    func mistakesAreRefused(settings: String, unhealthyReason: String) throws {
        #expect(
            try ShippedPolicy.unhealthyReason("canary", settings)
                == "moongate.yaml:7:3: policy canary: \(unhealthyReason)")
    }
}
