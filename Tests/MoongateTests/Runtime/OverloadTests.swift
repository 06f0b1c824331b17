import Testing

@testable import Moongate

@Suite struct OverloadMarksTests {
    private let marks = OverloadMarks(limit: 1000, [.refuseStreams: 80, .refuseConnections: 90, .resetStreams: 95])

    @Test func eachLevelBeginsAtItsMark() {
        for (used, level): (UInt64, OverloadLevel) in [
            (0, .normal), (799, .normal), (800, .refuseStreams), (899, .refuseStreams), (900, .refuseConnections),
            (950, .resetStreams), (5000, .resetStreams),
        ] {
            var fresh = marks
            #expect(fresh.update(used: used) == level, "\(used)")
        }
    }

    @Test func aLevelEndsThreePointsBelowItsMark() {
        var marks = marks
        #expect(marks.update(used: 960) == .resetStreams)
        #expect(marks.update(used: 921) == .resetStreams)
        #expect(marks.update(used: 919) == .refuseConnections)
        #expect(marks.update(used: 949) == .refuseConnections)
        #expect(marks.update(used: 771) == .refuseStreams)
        #expect(marks.update(used: 769) == .normal)
        #expect(marks.update(used: 799) == .normal)
    }

    @Test func marksMayFallTogether() {
        var marks = OverloadMarks(limit: 1000, [.refuseStreams: 90, .refuseConnections: 90, .resetStreams: 90])
        #expect(marks.update(used: 899) == .normal)
        #expect(marks.update(used: 900) == .resetStreams)
        #expect(marks.mark(of: .refuseConnections) == 900)
    }
}

@Suite struct MemoryGaugeTests {
    @Test func theProcessHasMemory() { #expect(MemoryGauge.resident() > 1 << 20) }

    @Test func limitsStandInTheGroupAndThoseAboveIt() {
        #expect(
            MemoryGauge.limitFiles("0::/a/b\n") == [
                "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/a/b/memory.max",
            ])
        #expect(
            MemoryGauge.limitFiles("5:cpu,memory:/x\n4:cpuset:/y\n1:name=systemd:/z\n") == [
                "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/x/memory.limit_in_bytes",
            ])
        #expect(MemoryGauge.limitFiles("nonsense\n::\n\n").isEmpty)
    }

    @Test func aLimitIsANumber() {
        #expect(MemoryGauge.limit("536870912\n") == 536_870_912)
        #expect(MemoryGauge.limit("max\n") == nil)
        // What the older interface says without a limit.
        #expect(MemoryGauge.limit("9223372036854771712\n") == nil)
        #expect(MemoryGauge.limit("") == nil)
    }
}

@Suite struct AcceptRateTests {
    @Test func aBurstOfATenthOfASecondIsTakenAtOnceAndThenThePaceHolds() {
        let start: Instant = 10_000_000_000
        var rate = AcceptRate(100, now: start)
        var taken = 0
        while rate.wait(now: start) == nil {
            rate.took()
            taken += 1
        }
        #expect(taken == 10)
        #expect(rate.wait(now: start) == 10_000_000)
        #expect(rate.wait(now: start + 10_000_000) == nil)
        rate.took()
        #expect(rate.wait(now: start + 10_000_000) == 10_000_000)
    }

    @Test func oneASecondIsOneASecond() {
        var rate = AcceptRate(1, now: 5_000_000_000)
        #expect(rate.wait(now: 5_000_000_000) == nil)
        rate.took()
        #expect(rate.wait(now: 5_000_000_000) == 1_000_000_000)
        #expect(rate.wait(now: 5_900_000_000) == 100_000_000)
        #expect(rate.wait(now: 60_000_000_000) == nil)
        rate.took()
        #expect(rate.wait(now: 60_000_000_000) != nil)
    }
}
