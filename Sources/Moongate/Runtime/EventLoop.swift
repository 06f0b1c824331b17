import CMoongate
import Glibc

/// One thread's epoll loop: descriptors, timers, posted work, and buffers that everything on the thread shares.
///
/// A turn goes: wait, handle what is ready, run posted work, fire timers, then flush: whatever the turn wants to
/// send leaves in one write per connection. Thread-confined but for `mailbox`.
final class EventLoop {
    static let readBufferSize = 256 * 1024
    static let writeBufferSize = 128 * 1024
    private static let eventsPerTurn = 256

    let mailbox: Mailbox
    let blocks = BlockPool()
    /// For what requests can do without.
    let memory: MemoryAccount
    /// Filled by one read and used up before the next.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: readBufferSize, alignment: 64)
    /// Filled and written within one flush.
    let writeBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: writeBufferSize, alignment: 64)

    /// Counts the turns, where somebody wants to know.
    var turns: Counter?
    /// Odd within a turn, even while the loop waits for something to do; where somebody watches it.
    var pulse: Counter?

    /// The time at the beginning of the turn.
    private(set) var now: Instant

    /// Nanoseconds that have passed by `skip`.
    private var skipped: UInt64 = 0

    private let epoll: Int32
    private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: eventsPerTurn)
    private let timers: TimerWheel
    private var toFlush: [Unmanaged<EventHandler>] = []
    private var flushing: [Unmanaged<EventHandler>] = []
    private var borrowers: [Unmanaged<EventHandler>] = []
    private var toRunAgain: [EventHandler] = []
    private var behindOthers: [EventHandler] = []
    private var share = BackgroundShare()
    private var deferredReleases: [EventHandler] = []
    private var isStopping = false
    private let waker: MailboxHandler
    /// The thread of the turn that is under way.
    private var thread: pthread_t?

    /// - Parameter copies: what the whole process may lend to `memory`; without it there is no limit.
    /// - Throws: `SystemError` when the process is out of file descriptors.
    init(copies: MemoryBudget = MemoryBudget()) throws(SystemError) {
        memory = MemoryAccount(copies)
        mailbox = try Mailbox()
        waker = MailboxHandler(mailbox)
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw SystemError("epoll_create1") }
        now = Clock.now()
        timers = TimerWheel(now: now)
        toFlush.reserveCapacity(1024)
        flushing.reserveCapacity(1024)
        try add(mailbox.descriptor, EPOLLIN.rawValue, waker)
    }

    deinit {
        close(epoll)
        readBuffer.deallocate()
        writeBuffer.deallocate()
        events.deallocate()
    }

    // MARK: Descriptors

    /// Reports `events` of `descriptor` to `handler`, which the caller keeps alive until `bury`.
    func add(_ descriptor: Int32, _ events: UInt32, _ handler: EventHandler) throws(SystemError) {
        try control(EPOLL_CTL_ADD, descriptor, events, handler)
    }

    func modify(_ descriptor: Int32, _ events: UInt32, _ handler: EventHandler) throws(SystemError) {
        try control(EPOLL_CTL_MOD, descriptor, events, handler)
    }

    /// Before the descriptor is closed.
    func remove(_ descriptor: Int32) {
        var event = epoll_event()
        epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &event)
    }

    private func control(
        _ operation: Int32, _ descriptor: Int32, _ events: UInt32, _ handler: EventHandler
    ) throws(SystemError) {
        var event = epoll_event()
        event.events = events
        event.data.ptr = Unmanaged.passUnretained(handler).toOpaque()
        guard epoll_ctl(epoll, operation, descriptor, &event) == 0 else { throw SystemError("epoll_ctl") }
    }

    // MARK: The end of the turn

    /// Calls `handler.flush()` once this turn ends. The caller asks once per turn (it keeps a flag).
    @inline(__always) func flushLater(_ handler: EventHandler) { toFlush.append(Unmanaged.passUnretained(handler)) }

    /// Calls `handler.flushBorrowed()` before `readBuffer` is filled again. The caller asks once (it keeps a flag).
    func flushAfterRead(_ handler: EventHandler) { borrowers.append(Unmanaged.passUnretained(handler)) }

    /// What was read has been handled, and `readBuffer` is wanted for something else.
    @inline(__always) func flushBorrowers() { if !borrowers.isEmpty { flushAllBorrowers() } }

    private func flushAllBorrowers() {
        for borrower in borrowers { borrower._withUnsafeGuaranteedRef { $0.flushBorrowed() } }
        borrowers.removeAll(keepingCapacity: true)
    }

    /// Calls `handler.again()` in the next turn, which then does not wait.
    func runAgain(_ handler: EventHandler) { toRunAgain.append(handler) }

    /// Calls `handler.again()` at the end of a later turn, when what others wait for is done: once nothing has come for a moment, or
    /// others have had as much time as was taken before.
    func runBehindOthers(_ handler: EventHandler) { behindOthers.append(handler) }

    /// Keeps `handler` alive until this turn has ended, since events and flushes may still name it.
    func releaseLater(_ handler: EventHandler) { deferredReleases.append(handler) }

    // MARK: Timers

    @inline(__always) func set(_ timer: UnsafeMutablePointer<Timer>, at deadline: Instant) {
        timers.set(timer, at: deadline)
    }

    @inline(__always) func clear(_ timer: UnsafeMutablePointer<Timer>) { timers.clear(timer) }

    // MARK: Running

    /// For assertions: the caller is on the loop's thread, or no turn is under way.
    var isCurrent: Bool { thread.map { pthread_equal($0, pthread_self()) != 0 } ?? true }

    /// Turns until `stop`.
    func run() {
        while !isStopping { turn() }
        finish()
    }

    /// What waits behind others has its turn all the same, for a second at most.
    private func finish() {
        let end = Clock.now() &+ 1_000_000_000
        while !behindOthers.isEmpty && Clock.now() < end {
            runBehindOthersNow()
            flushAll()
        }
    }

    /// Ends `run` after the current turn. On the loop's thread.
    func stop() { isStopping = true }

    /// Lets time pass without waiting for it, as far as this loop is concerned: for those who turn it themselves.
    func skip(nanoseconds: UInt64) { skipped &+= nanoseconds }

    /// One turn; `limit` bounds the wait in milliseconds (-1: none).
    func turn(limit: Int = -1) {
        assert(isCurrent, "a loop turns on two threads")
        thread = pthread_self()
        defer { thread = nil }
        let count = wait(limit: limit)
        pulse?.add()
        now = Clock.now() &+ skipped
        turns?.add()
        mg_turn_begin(!behindOthers.isEmpty)
        runAgainNow()
        for index in 0..<count {
            guard let opaque = events[index].data.ptr else { continue }
            let mask = events[index].events
            Unmanaged<EventHandler>.fromOpaque(opaque)._withUnsafeGuaranteedRef { $0.ready(mask) }
        }
        timers.advance(to: now) { timer in
            guard let action = timer.pointee.action, let target = timer.pointee.target else { return }
            action(target)
        }
        flushAll()
        if !behindOthers.isEmpty { endTurnForOthers(count) }
        if !deferredReleases.isEmpty { deferredReleases.removeAll(keepingCapacity: true) }
        pulse?.add()
    }

    private func wait(limit: Int) -> Int {
        var delay = limit
        if !toRunAgain.isEmpty {
            delay = 0
        } else if timers.count > 0, let next = timers.delay(now: Clock.now() &+ skipped) {
            delay = limit < 0 ? next : min(next, limit)
        }
        if !behindOthers.isEmpty { delay = delay < 0 ? share.delay : min(delay, share.delay) }
        let count = epoll_wait(epoll, events, Int32(EventLoop.eventsPerTurn), Int32(clamping: delay))
        return max(0, Int(count))
    }

    private func runAgainNow() {
        guard !toRunAgain.isEmpty else { return }
        let list = toRunAgain
        toRunAgain = []
        for handler in list { handler.again() }
    }

    // MARK: Behind others

    /// - Parameter events: how many descriptors something has come for in this turn.
    @inline(never) private func endTurnForOthers(_ events: Int) {
        let end = Clock.now()
        guard share.isDue(events: events, turn: now &- skipped..<end) else { return }
        runBehindOthersNow()
        if behindOthers.isEmpty { share = BackgroundShare() } else { share.taken(end..<Clock.now()) }
        flushAll()
    }

    private func runBehindOthersNow() {
        let list = behindOthers
        behindOthers = []
        mg_turn_begin(false)
        for handler in list { handler.again() }
    }

    /// Flushing may ask for more flushing (a window opens, a stream ends): until nothing is left.
    private func flushAll() {
        while !toFlush.isEmpty {
            swap(&toFlush, &flushing)
            for index in flushing.indices { flushing[index]._withUnsafeGuaranteedRef { $0.flush() } }
            flushing.removeAll(keepingCapacity: true)
        }
    }
}

/// Runs what other threads posted.
private final class MailboxHandler: EventHandler {
    private let mailbox: Mailbox
    init(_ mailbox: Mailbox) { self.mailbox = mailbox }
    override func ready(_ events: UInt32) { mailbox.drain() }
}
