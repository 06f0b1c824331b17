import CMoongate
import MoongateLua

/// What a worker has for its policies, whichever generation they are of: the pool of runs, its loop, and the memory that all script
/// engines share. Lives as long as the worker, on its thread.
final class PolicyHost {
    /// What all script engines in service hold.
    let memory = LuaMemoryPool(limit: .max)
    /// Engines that are closing.
    let closings = PolicyClosings()
    /// Runs closures on the worker's thread.
    var post: (@Sendable (@escaping @Sendable () -> Void) -> Void)?
    /// Called with the owner of a run that paused, when its verdict is known. May end the run.
    var resumed: ((UnsafeMutableRawPointer, PolicyVerdict) -> Void)?
    /// Makes alarms that ring on the worker's thread.
    var makeAlarm: ((PolicyAlarmUse, @escaping () -> Void) -> any PolicyAlarm)?
    /// The newest generation's policies.
    weak var newest: PolicySet?
    /// Gives what is known of an exchange so far, by the owner of its run.
    var account: ((UnsafeMutableRawPointer) -> PolicyAccount)?
    /// Keeps account of what calls carry while a hook waits for them; `nil`: nobody does.
    var callAccount: CallAccount?
    /// Called with the owner of a run whose hook has gone on and waits again, or the next one does.
    var waitsAgain: ((UnsafeMutableRawPointer) -> Void)?
    /// Called with the owner of a run whose bodies may have moved on.
    var moved: ((UnsafeMutableRawPointer) -> Void)?
    /// The time that scripts have in a turn of the worker's loop.
    let turn = PolicyTurn()
    /// Who has had policies exceed their time limit; `nil`: nobody pays for it.
    var overruns: OverrunTracker?
    /// Called with the owner of a run whose log hooks had to wait and have run.
    var logged: ((UnsafeMutableRawPointer) -> Void)?
    /// Asks for a call of `turnEnded` at the end of the loop's turn; set by `attach`.
    var awaitTurnEnd: (() -> Void)?
    /// Asks for a call of `turnBegan` in the loop's next turn, which then does not wait; set by `attach`.
    var awaitNextTurn: (() -> Void)?
    /// For bodies on their way through hooks.
    let blocks = BlockPool()
    /// The visit of runs that have entered no engine.
    let nowhere: PolicyVisit
    /// The instances of runs that are over: none.
    let none: UnsafeMutablePointer<PolicyInstance>

    private var firstFree: UnsafeMutablePointer<PolicyRunRecord>?
    private var lastFree: UnsafeMutablePointer<PolicyRunRecord>?
    private var freeCount = 0
    /// The memory of all runs, see `PoolSlot`.
    private var slots: [UnsafeMutableRawPointer] = []
    /// Runs that hold back bytes until the turn has ended. Records last as long as the host, and one whose run has ended says so
    /// (`expectsTurnEnd`).
    var expecting: [UnsafeMutablePointer<PolicyRunRecord>] = []
    /// Runs that have done enough for one turn; those that still have say so (`expectsNextTurn`).
    var resting: [UnsafeMutablePointer<PolicyRunRecord>] = []

    /// Runs rest in the pool at least so long that as many others have begun: an answer that comes late finds a run that is over.
    private static let restingRuns = 16

    init() {
        nowhere = .allocate(capacity: 1)
        nowhere.initialize(to: PolicyVisitRecord())
        none = .allocate(capacity: 1)
    }

    deinit {
        for slot in slots {
            let record = PoolSlot<PolicyRunRecord>.record(0, of: slot)
            record.pointee.destroy()
            record.deinitialize(count: 1)
            slot.deallocate()
        }
        nowhere.deinitialize(count: 1)
        nowhere.deallocate()
        none.deallocate()
    }

    // MARK: Runs

    /// A run, whose subject the caller fills in.
    ///
    /// - Parameter instances: those that the run's numbers stand for; its owner outlives the run.
    func begin(owner: UnsafeMutableRawPointer?, _ instances: UnsafeMutablePointer<PolicyInstance>) -> PolicyRun? {
        while freeCount <= PolicyHost.restingRuns { addRun() }
        guard let record = firstFree else { return nil }
        firstFree = record.pointee.nextFree
        if firstFree == nil { lastFree = nil }
        freeCount -= 1
        record.pointee.owner = owner
        record.pointee.instances = instances
        return PolicyRun(record)
    }

    /// Ends a run, waiting or not. Nothing of it is used afterwards.
    func end(_ run: PolicyRun) {
        let record = run.pointer
        run.stopHooks()
        run.leave()
        record.pointee.subject = PolicySubject()
        record.pointee.owner = nil
        record.pointee.instances = none
        record.pointee.phase = .idle
        record.pointee.expectsTurnEnd = false
        record.pointee.expectsNextTurn = false
        record.pointee.chain = nil
        record.pointee.ran.removeAll()
        record.pointee.replyBody = .empty
        record.pointee.isMessageHook = false
        record.pointee.messageHook = -1
        record.pointee.refusal = nil
        record.pointee.endsResponse = false
        record.pointee.ending.reset()
        record.pointee.arena.reset()
        if record.pointee.dynamicMetadata != nil { record.pointee.dynamicMetadata = nil }
        if record.pointee.heldSlots != nil { record.pointee.heldSlots = nil }
        if record.pointee.filterState != nil { record.pointee.filterState = nil }
        if record.pointee.context != nil { record.pointee.context = nil }
        if record.pointee.startedWork != nil { record.pointee.startedWork = nil }
        giveBack(record)
    }

    private func giveBack(_ record: UnsafeMutablePointer<PolicyRunRecord>) {
        record.pointee.nextFree = nil
        if let lastFree { lastFree.pointee.nextFree = record } else { firstFree = record }
        lastFree = record
        freeCount += 1
    }

    private func addRun() {
        let slot = PoolSlot<PolicyRunRecord>.allocate(count: 1)
        let record = PoolSlot<PolicyRunRecord>.record(0, of: slot)
        slots.append(slot)
        record.initialize(to: PolicyRunRecord(host: self))
        giveBack(record)
    }

    // MARK: Waiting

    /// Names the current wait of a run, for an answer that comes from another thread.
    struct Token: Sendable {
        fileprivate let run: UInt
        let number: UInt64
    }

    /// Called by a leaf that is about to say MG_WAIT.
    func wait(_ run: PolicyRun) -> Token {
        run.waitNumber &+= 1
        return Token(run: UInt(bitPattern: run.pointer), number: run.waitNumber)
    }

    /// The answer to a wait has come; on the worker's thread. Nothing happens if the exchange has ended meanwhile.
    func complete(_ token: Token, with results: [LuaValue]) {
        guard let pointer = UnsafeMutablePointer<PolicyRunRecord>(bitPattern: token.run) else { return }
        let run = PolicyRun(pointer)
        guard let frame = run.frame(token.number) else { return }
        if run.answerWaits(run.host.takeUnretainedValue().complete(token, with: results)) { return }
        run.goOn(frame, .values(results))
        let engine = run.currentEngine.takeUnretainedValue()
        switch run.phase {
        case .timer: if run.frames.isEmpty { engine.timers.ended(run, engine) }
        case .close: if run.frames.isEmpty { engine.closing?.ended(run) }
        default: run.drive()
        }
    }

    /// What to call on any thread with the answer to a wait.
    func completion(of run: PolicyRun) -> @Sendable ([LuaValue]) -> Void {
        let token = wait(run)
        let host = LoopBound(self)
        let post = post
        return { results in post? { host.value?.complete(token, with: results) } }
    }
}
