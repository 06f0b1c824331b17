import CMoongate
import MoongateLua

/// A call to start, and where it goes.
struct CallOrder {
    let upstream: String
    let call: UpstreamCall
}

/// Calls that one hook waits for together.
private final class CallGroup {
    var failures: [UpstreamCall.Failure?]
    var left: Int

    init(_ count: Int) {
        failures = Array(repeating: nil, count: count)
        left = count
    }
}

/// Messages about waits.
enum CallWait {
    static let inLog: CallMessage = "on_log cannot wait: the request is over"
    static let withoutWaiting: CallMessage =
        "handle:httpCall with asynchronous sends without waiting, and timers and on_close may wait"
}

extension UnsafeMutablePointer where Pointee == mg_call {
    /// The reason why the hook that runs cannot wait; `nil`: it can.
    var waitRefusal: CallMessage? { run?.pointer.pointee.phase == .log ? CallWait.inLog : nil }

    /// The upstreams that the caller may call: those of its exchange's generation, for timers the newest.
    var upstreams: UpstreamDirectory? {
        run?.pointer.pointee.subject.upstreams?.takeUnretainedValue() ?? engine?.upstreams
    }

    /// A call with the limits of the configuration.
    func makeCall() -> UpstreamCall {
        let call = UpstreamCall()
        if let engine { call.limit = engine.unit.terms.calls.bytes }
        return call
    }

    /// What keeps `count` more calls from being made by this run; `nil`: nothing.
    func refusal(of count: Int) -> CallMessage? {
        guard let engine, let run else { return "calls are for hooks and timers" }
        let limit = engine.unit.terms.calls.perRequest
        guard run.work.calls + count > limit else { return nil }
        return "more than \(limit) calls at a time (policies.calls_per_request)"
    }

    private var isWorkerFull: Bool {
        guard let engine, let upstreams else { return false }
        return upstreams.activeCalls >= engine.unit.terms.calls.perWorker
    }

    /// Starts the calls; the hook waits until all of them have ended.
    ///
    /// - Parameter answer: makes the results of the waiting function, from the failures in the calls' order (`nil`:
    ///   answered).
    func wait(for orders: [CallOrder], _ answer: @escaping ([UpstreamCall.Failure?]) -> [LuaValue]) -> mg_action {
        if let refusal = waitRefusal { return fail("\(refusal); \(CallWait.withoutWaiting)") }
        if let refusal = refusal(of: orders.count) { return fail(refusal) }
        guard let host, let run, let upstreams else { return fail("upstreams cannot be called here") }
        guard !isWorkerFull else {
            return give(all: answer(orders.map { _ in .unavailable("too many calls at a time") }))
        }
        let group = CallGroup(orders.count)
        guard let hold = CallHold(orders.reduce(0) { $0 + $1.call.carried }, run, host) else {
            run.refusal = .callsTooLarge
            return MG_STOP
        }
        let work = run.work
        let token = host.wait(run)
        work.waits(token.number) {
            work.calls -= group.left
            hold.release()
            for order in orders { order.call.cancel() }
        }
        work.calls += orders.count
        for (index, order) in orders.enumerated() {
            let isStarted = upstreams.start(order.call, to: order.upstream) { [weak host] failure in
                group.failures[index] = failure
                group.left -= 1
                work.calls -= 1
                guard group.left == 0 else { return }
                hold.release()
                work.waitEnded(token.number)
                host?.complete(token, with: answer(group.failures))
            }
            // The name was looked up before: only a directory that changed between could get here.
            if !isStarted {
                hold.release()
                return abandon(token.number, orders, work, "the upstream is not there any more")
            }
        }
        return MG_WAIT
    }

    private func abandon(_ wait: UInt64, _ orders: [CallOrder], _ work: PolicyWork, _ message: CallMessage) -> mg_action
    {
        work.waitEnded(wait)
        work.calls -= orders.count
        for order in orders { order.call.cancel() }
        return fail(message)
    }

    /// Starts a call that nobody waits for, and which survives its run.
    func startAlone(_ order: CallOrder) -> mg_action {
        if let refusal = refusal(of: 1) { return fail(refusal) }
        guard let run, let upstreams, !isWorkerFull else { return MG_RETURN }
        let work = run.work
        work.calls += 1
        let isStarted = upstreams.startAlone(order.call, to: order.upstream) { _ in work.calls -= 1 }
        if !isStarted { work.calls -= 1 }
        return MG_RETURN
    }
}
