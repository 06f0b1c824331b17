import MoongateConfig
import Testing

@testable import Moongate

/// What is told of each policy.
@Suite struct PolicyLedgerTests {
    private func summary(_ bench: PolicyBench) -> PolicyStats.Summary { bench.program.instances[0].stats.summary }

    @Test func runsRepliesAndTimesAreCounted() throws {
        let bench = try PolicyBench(
            """
            function on_request(h) if h:headers():get("x-no") then h:respond({[":status"] = 403}, "no") end end
            function on_response(h) end
            """)
        for index in 0..<40 {
            let (_, call) = try bench.request(PolicyBench.grpc + (index < 3 ? [("x-no", "1")] : []))
            if index < 3 { #expect(call.run.startResponse() == .proceed) }
            call.end()
        }
        let summary = summary(bench)
        #expect(summary.hooks.map(\.hook) == [.onRequest, .onResponse])
        #expect(summary.hooks.map(\.runs) == [40, 3])
        #expect(summary.hooks.map(\.replies) == [3, 0])
        // One in sixteen, the first included.
        #expect(summary.hooks.map(\.times.samples) == [3, 1])
        let times = summary.hooks[0].times
        #expect(times.longest > 0 && times.median <= times.percentile99 && times.percentile99 <= times.longest)
        #expect(summary.peakMemory > 10_000)
        #expect(summary.lastError == nil)
    }

    @Test func theLastErrorStaysWithItsTraceback() throws {
        let bench = try PolicyBench("local function inner() error('oops') end\nfunction on_request(h)\n  inner()\nend")
        try bench.request().1.end()
        let summary = summary(bench)
        let error = try #require(summary.lastError)
        #expect(error.message == "etc/p.lua:1: oops" && error.reason == "script" && error.hook == .onRequest)
        #expect(error.traceback.contains("etc/p.lua:3: in function"))
        #expect(error.at > 1_600_000_000_000)
        #expect(summary.hooks[0].errors.map(\.count) == [1])
    }

    /// `printf %s 'function on_request(h) end' | sha256sum`
    @Test func theHashIsThatOfTheSource() throws {
        #expect(
            summary(try PolicyBench("function on_request(h) end")).hash
                == "c5086783e01436490d025c146c803f117177ab2e40e0ae640979b016236951a4")
        #expect(PolicyStats(source: []).hash == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    @Test func theFirstGenerationCounts() {
        let stats = PolicyStats(source: [])
        stats.loaded(in: 3)
        stats.loaded(in: 4)
        #expect(stats.summary.generation == 3)
    }

    @Test(
        arguments: [
            (0, 0), (128, 0), (159, 0), (160, 1), (191, 1), (192, 2), (255, 3), (256, 4), (1_000, 11), (1_000_000, 51),
            (UInt64.max, HookTimes.buckets - 1),
        ] as [(UInt64, Int)])
    func timesFallIntoQuartersOfDoublings(time: UInt64, bucket: Int) {
        #expect(HookTimes.bucket(time) == bucket)
        if time >= 128 && time < 1 << 33 {
            let end = HookTimes.end(of: bucket)
            #expect(time < end && Double(end) <= Double(time) * 1.25 + 1)
        }
    }

    @Test func quantilesComeFromTheBuckets() {
        let block = CounterBlock(rows: 2, columns: HookTimes.columns)
        for index in 0..<100 {
            HookTimes(row: block.row(index % 2)).record(nanoseconds: index < 98 ? 1_000 : 50_000)
        }
        let summary = HookTimeSummary(block, first: 0)
        #expect(summary.samples == 100 && summary.longest == 50_000)
        #expect(summary.median == 1_024)
        #expect(summary.percentile99 == 50_000)
        #expect(HookTimeSummary(CounterBlock(rows: 1, columns: HookTimes.columns), first: 0).longest == 0)
    }
}
