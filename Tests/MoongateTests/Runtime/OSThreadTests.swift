import Glibc
import Synchronization
import Testing

@testable import Moongate

@Suite struct OSThreadTests {
    @Test func joinWaitsForTheBody() throws {
        let done = Atomic(false)
        let thread = try OSThread.start(name: "body") {
            usleep(20_000)
            done.store(true, ordering: .relaxed)
        }
        thread.join()
        let wasDone = done.load(ordering: .relaxed)
        #expect(wasDone)
        thread.join()
    }

    @Test func bodyIsReleasedAfterTheThreadEnds() throws {
        final class Token: Sendable {}
        weak var witness: Token?
        try {
            let token = Token()
            witness = token
            try OSThread.start(name: "token") { withExtendedLifetime(token) {} }.join()
        }()
        #expect(witness == nil)
    }

    @Test func nameIsCutToWhatTheKernelKeeps() throws {
        let name = Locked("")
        try OSThread.start(name: "a-name-longer-than-fifteen") {
            guard let file = fopen("/proc/thread-self/comm", "r") else { return }
            defer { fclose(file) }
            var buffer = [CChar](repeating: 0, count: 64)
            fgets(&buffer, 64, file)
            let text = buffer.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
            name.withLock { $0 = text }
        }.join()
        #expect(name.withLock { $0 } == "a-name-longer-t\n")
    }

    @Test func startedThreadsLeaveSignalsToTheControlThread() throws {
        let blocked = Atomic(false)
        try OSThread.start(name: "mask") {
            var mask = sigset_t()
            pthread_sigmask(SIG_SETMASK, nil, &mask)
            blocked.store(sigismember(&mask, SIGTERM) == 1, ordering: .relaxed)
        }.join()
        let wasBlocked = blocked.load(ordering: .relaxed)
        #expect(wasBlocked)
    }

    @Test func threadThatDoesNotEndIsNotWaitedForBeyondTheDeadline() throws {
        let isOver = Locked(false)
        let thread = try OSThread.start(name: "lasting") {
            while !isOver.withLock({ $0 }) { usleep(1000) }
        }
        let began = Clock.now()
        #expect(!thread.join(until: began + 50_000_000))
        #expect(!thread.join(until: 0))
        #expect(Clock.now() - began >= 50_000_000)
        isOver.withLock { $0 = true }
        #expect(thread.join(until: Clock.now() + 10_000_000_000))
        #expect(thread.join(until: 0), "it has ended")
    }
}
