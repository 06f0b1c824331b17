import Testing

@testable import Moongate

@Suite struct TimerWheelTests {
    private static let ms: UInt64 = 1_000_000

    @Test(arguments: [1, 2, 255, 256, 257, 300, 511, 512, 65_535, 65_536, 65_537, 70_000, 16_777_300])
    func firesOnceAndNeverEarly(delay: Int) {
        let start: UInt64 = 1_234_567 * Self.ms
        let wheel = TimerWheel(now: start)
        let timer = Self.makeTimer()
        defer { timer.deallocate() }
        wheel.set(timer, at: start + UInt64(delay) * Self.ms)
        var fired = 0
        wheel.advance(to: start + UInt64(delay - 1) * Self.ms) { _ in fired += 1 }
        #expect(fired == 0)
        wheel.advance(to: start + UInt64(delay) * Self.ms) { _ in fired += 1 }
        #expect(fired == 1)
        #expect(wheel.count == 0)
    }

    @Test func waitsNoLongerThanTheNextTimer() {
        let wheel = TimerWheel(now: 0)
        let timer = Self.makeTimer()
        defer { timer.deallocate() }
        wheel.set(timer, at: 40 * Self.ms)
        #expect(wheel.delay(now: 0) == 40)
        #expect(wheel.delay(now: 41 * Self.ms) == 0)
        wheel.clear(timer)
        #expect(wheel.delay(now: 0) == nil)
    }

    @Test func aThousandTimersFireInTheRightTick() {
        let wheel = TimerWheel(now: 0)
        let timers = (0..<1000).map { _ in Self.makeTimer() }
        defer { timers.forEach { $0.deallocate() } }
        var random = SystemRandomNumberGenerator()
        let deadlines = timers.map { timer in
            let tick = UInt64.random(in: 1...200_000, using: &random)
            wheel.set(timer, at: tick * Self.ms)
            return tick
        }
        var order: [UInt64] = []
        var now: UInt64 = 0
        while wheel.count > 0 {
            now += UInt64.random(in: 1...700, using: &random)
            wheel.advance(to: now * Self.ms) { timer in
                guard let index = timers.firstIndex(of: timer) else { return }
                #expect(deadlines[index] <= now)
                order.append(deadlines[index])
            }
        }
        #expect(order == deadlines.sorted())
    }

    @Test func clearedAndMovedTimersDoNotFireAtTheirOldTime() {
        let wheel = TimerWheel(now: 0)
        let cleared = Self.makeTimer()
        let moved = Self.makeTimer()
        defer {
            cleared.deallocate()
            moved.deallocate()
        }
        wheel.set(cleared, at: 5 * Self.ms)
        wheel.set(moved, at: 5 * Self.ms)
        wheel.clear(cleared)
        wheel.set(moved, at: 900 * Self.ms)
        var fired: [UnsafeMutablePointer<Moongate.Timer>] = []
        wheel.advance(to: 899 * Self.ms) { fired.append($0) }
        #expect(fired.isEmpty)
        wheel.advance(to: 900 * Self.ms) { fired.append($0) }
        #expect(fired == [moved])
    }

    @Test func aTimerMaySetTimersWhenItFires() {
        let wheel = TimerWheel(now: 0)
        let timer = Self.makeTimer()
        defer { timer.deallocate() }
        var fired = 0
        wheel.set(timer, at: Self.ms)
        for tick in 1...10 as ClosedRange<UInt64> {
            wheel.advance(to: tick * Self.ms) { timer in
                fired += 1
                wheel.set(timer, at: (tick + 1) * Self.ms)
            }
        }
        #expect(fired == 10)
    }

    private static func makeTimer() -> UnsafeMutablePointer<Moongate.Timer> {
        let timer = UnsafeMutablePointer<Moongate.Timer>.allocate(capacity: 1)
        timer.initialize(to: Moongate.Timer())
        return timer
    }
}
