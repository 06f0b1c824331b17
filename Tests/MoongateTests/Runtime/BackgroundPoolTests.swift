import Glibc
import Synchronization
import Testing

@testable import Moongate

struct BackgroundPoolTests {
    @Test func jobsRunInOrderOnAnotherThread() async throws {
        let pool = try BackgroundPool(name: "test-pool", threads: 1, queueLimit: 100)
        let seen = Locked<[Int]>([])
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            for number in 0..<50 {
                let isQueued = pool.submit {
                    seen.withLock { $0.append(number) }
                    if number == 49 { done.resume() }
                }
                #expect(isQueued)
            }
        }
        #expect(seen.withLock { $0 } == Array(0..<50))
        pool.stopAndWait()
    }

    @Test func fullQueueRefusesAtOnce() throws {
        let pool = try BackgroundPool(name: "test-pool", threads: 1, queueLimit: 2)
        let gate = Gate()
        let entered = Gate()
        #expect(
            pool.submit {
                entered.open()
                gate.wait()
            })
        entered.wait()
        #expect(pool.submit {})
        #expect(pool.submit {})
        #expect(!pool.submit {})
        gate.open()
        pool.stopAndWait()
        #expect(!pool.submit {})
    }

    @Test func stopDropsWaitingJobs() throws {
        let pool = try BackgroundPool(name: "test-pool", threads: 1, queueLimit: 10)
        let gate = Gate()
        let entered = Gate()
        let ran = Atomic(0)
        #expect(
            pool.submit {
                entered.open()
                gate.wait()
            })
        #expect(pool.submit { ran.add(1, ordering: .relaxed) })
        entered.wait()
        pool.stop()
        gate.open()
        pool.stopAndWait()
        #expect(ran.load(ordering: .relaxed) == 0)
    }

    @Test func lowPriorityBelongsToThePoolAlone() throws {
        let pool = try BackgroundPool(name: "test-pool", threads: 1, queueLimit: 1, priority: .low)
        let nice = Atomic<Int32>(0)
        let done = Gate()
        #expect(
            pool.submit {
                nice.store(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0), ordering: .relaxed)
                done.open()
            })
        done.wait()
        pool.stopAndWait()
        #expect(nice.load(ordering: .relaxed) == 19)
        #expect(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0) < 19)
    }
}

/// Opens once; waiters go on when it does.
final class Gate: Sendable {
    private let isOpen = Atomic(false)
    func open() { isOpen.store(true, ordering: .releasing) }
    func wait() { while !isOpen.load(ordering: .acquiring) { usleep(500) } }
}
