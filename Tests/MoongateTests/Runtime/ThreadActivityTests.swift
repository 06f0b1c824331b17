import Glibc
import Testing

@testable import Moongate

@Suite struct ThreadActivityTests {
    /// Runs a loop on a thread of its own.
    private func run(_ body: (ThreadActivity, Mailbox) throws -> Void) throws {
        let activity = ThreadActivity()
        let loop = try EventLoop()
        let mailbox = loop.mailbox
        let box = LoopBound(loop)
        let handover = Handover(loop)
        let thread = try OSThread.start(name: "watched") {
            guard let loop = handover.take() else { return }
            activity.begin(loop)
            loop.run()
            activity.end()
        }
        defer {
            mailbox.post { box.value?.stop() }
            thread.join()
        }
        try body(activity, mailbox)
    }

    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<500 {
            if condition() { return true }
            usleep(10_000)
        }
        return false
    }

    @Test func pulseIsOddWithinATurn() throws {
        try run { activity, mailbox in
            let gate = Gate()
            mailbox.post { gate.wait() }
            #expect(eventually { activity.pulse == 1 })
            gate.open()
            #expect(eventually { activity.pulse == 2 })
        }
    }

    @Test func blockedThreadIsToldFromOneThatRuns() throws {
        try run { activity, mailbox in
            let gate = Gate()
            mailbox.post { gate.wait() }
            #expect(eventually { activity.isBlocked && activity.pulse & 1 == 1 })
            gate.open()
            let isOver = Locked(false)
            let before = activity.cpuTime
            mailbox.post { while !isOver.withLock({ $0 }) {} }
            #expect(eventually { activity.cpuTime > before + 20_000_000 })
            #expect(eventually { !activity.isBlocked })
            isOver.withLock { $0 = true }
        }
    }

    @Test func threadThatHasNotBegunSaysNothing() {
        let activity = ThreadActivity()
        #expect(activity.cpuTime == 0 && !activity.isBlocked && activity.scriptPlace == nil && activity.generation == 0)
    }

    /// Holds a thread up in the kernel.
    private final class Gate: Sendable {
        private let ends: (Int32, Int32)

        init() {
            var ends: [Int32] = [-1, -1]
            _ = pipe(&ends)
            self.ends = (ends[0], ends[1])
        }

        deinit {
            close(ends.0)
            close(ends.1)
        }

        func wait() {
            var byte: UInt8 = 0
            _ = read(ends.0, &byte, 1)
        }

        func open() { _ = write(ends.1, "x", 1) }
    }
}
