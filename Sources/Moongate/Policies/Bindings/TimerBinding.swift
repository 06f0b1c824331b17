import CMoongate
import MoongateLua

/// `moon.timer` and `moon.sleep`: what policies do later.
enum TimerBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "timer.every", "nft?",
                type: #"(seconds: number, run: fun(), options?: {worker: 0|"all"}): integer"#,
                doc: """
                    Runs a function again and again, for the first time after `seconds` (0.01 or more). It may wait, as hooks \
                    do; while it does, its turns are left out. A timer that is set while a policy is loaded runs on worker 0 \
                    only, or with `{worker = "all"}` on every worker; one set in a hook runs where the hook does. Timers end \
                    when the policies are loaded again. Gives a number for `moon.timer.cancel`.
                    """, every),
            LuaBinding(
                "timer.after", "nft?",
                type: #"(seconds: number, run: fun(), options?: {worker: 0|"all"}): integer"#,
                doc: "Runs a function once, after `seconds`; the rest is as with `moon.timer.every`.", after),
            LuaBinding(
                "timer.cancel", "i", type: "(timer: integer)",
                doc: "Ends a timer of this worker; one that has ended already is no mistake.", cancel),
            LuaBinding(
                "sleep", "~n", type: "(seconds: number)",
                doc: """
                    Lets the hook wait, at most 60 seconds; other requests go on meanwhile. The client's deadline and the \
                    route's timeout count on.
                    """, sleep),
        ]
    }

    /// Seconds.
    private static let shortest = 0.01
    private static let longest = 365.0 * 86_400
    private static let longestSleep = 60.0

    private static let every: mg_leaf = { call in add(call, repeats: true, from: shortest) }
    private static let after: mg_leaf = { call in add(call, repeats: false, from: 0) }

    private static func add(_ call: BindingCall, repeats: Bool, from shortest: Double) -> mg_action {
        guard let engine = call.engine else { return call.fail("there are no timers here") }
        let name: StaticString = repeats ? "moon.timer.every" : "moon.timer.after"
        let seconds = call.pointee.arguments[0].number
        guard seconds >= shortest, seconds <= longest else {
            return call.fail("\(name): seconds must be between \(limit: shortest) and \(Int64(longest))")
        }
        var runsEverywhere = false
        if let fault = readWorker(call, &runsEverywhere) { return call.fail("\(name): \(fault)") }
        guard !engine.timers.isFull else {
            return call.fail("\(name): more than \(PolicyTimers.limit) timers on one worker")
        }
        let isLoading = engine.loading >= 0
        if isLoading { engine.hasLoadTimers = true }
        guard let place = isLoading ? PolicyUnit.Place(index: engine.loading) : call.run?.place else {
            return call.fail("\(name) is for policies")
        }
        if isLoading && !runsEverywhere && engine.services.worker != 0 {
            engine.vm.release(call.function(1))
            call.give(Int64(0))
            return MG_RETURN
        }
        let number = engine.timers.add(
            call.function(1), of: place, interval: HTTPOrder.nanoseconds(seconds), repeats: repeats, engine)
        call.give(number)
        return MG_RETURN
    }

    /// `worker`: 0, or `"all"`.
    private static func readWorker(_ call: BindingCall, _ runsEverywhere: inout Bool) -> CallMessage? {
        guard !call.isAbsent(2) else { return nil }
        guard case .table(let entries) = call.value(2) else { return "options must be a table" }
        for entry in entries {
            guard entry.key == .string("worker") else { return "the only option is worker" }
            switch entry.value {
            case .integer(0): runsEverywhere = false
            case .string("all"): runsEverywhere = true
            default: return "worker must be 0 or \"all\""
            }
            if call.run != nil { return "worker is for timers that are set while a policy is loaded" }
        }
        return nil
    }

    private static let cancel: mg_leaf = { call in
        if let engine = call.engine { engine.timers.cancel(call.integer(0), engine) }
        return MG_RETURN
    }

    private static let sleep: mg_leaf = { call in
        guard let host = call.host, let run = call.run, let makeAlarm = host.makeAlarm else {
            return call.fail("moon.sleep is for hooks and timers")
        }
        if let refusal = call.waitRefusal { return call.fail(refusal) }
        let seconds = call.pointee.arguments[0].number
        guard seconds >= 0, seconds <= longestSleep else {
            return call.fail("moon.sleep: seconds must be between 0 and \(Int(longestSleep))")
        }
        let work = run.work
        let token = host.wait(run)
        let sleep = Sleep()
        work.waits(token.number) { sleep.alarm = nil }
        let alarm = makeAlarm(.sleep) { [weak host] in
            sleep.alarm = nil
            work.waitEnded(token.number)
            host?.complete(token, with: [])
        }
        sleep.alarm = alarm
        alarm.set(after: HTTPOrder.nanoseconds(seconds))
        return MG_WAIT
    }

    private final class Sleep {
        /// Keeps itself, by its closure, until it has rung or nobody waits any more.
        var alarm: (any PolicyAlarm)?
    }
}
