import CMoongate
import MoongateConfig
import Testing

@testable import Moongate

/// Runs when the time of scripts in a turn is over: as a tick of the guard's timer would say.
@Suite struct PolicyTurnTests {
    private final class Waiting {
        var count = 0
    }

    private static let tags = """
        function on_request(handle) handle:headers():add("x-ran", "yes") end
        function on_response(handle) handle:headers():add("x-back", "yes") end
        seen = 0
        function on_log(handle) seen = seen + 1 end
        """

    /// A bench whose scripts have had their time in this turn.
    private func spent(_ text: String = tags) throws -> (PolicyBench, Waiting) {
        let bench = try PolicyBench(text)
        let waiting = Waiting()
        bench.host.turn.awaitShare = { waiting.count += 1 }
        mg_turn_begin(true)
        return (bench, waiting)
    }

    /// The loop has served others.
    private func served(_ bench: PolicyBench) {
        mg_turn_begin(false)
        bench.host.turn.goOn()
    }

    @Test func runInTimeDoesNotWait() throws {
        let (bench, waiting) = try spent()
        mg_turn_begin(false)
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed)
        #expect(call.request["x-ran"] == "yes")
        #expect(waiting.count == 0)
        call.end()
    }

    @Test func nothingWaitsWhereNobodyTurnsALoop() throws {
        defer { mg_turn_begin(false) }
        let bench = try PolicyBench(PolicyTurnTests.tags)
        mg_turn_begin(true)
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed)
        call.end()
    }

    @Test func hooksOfBothDirectionsWaitAndGoOn() throws {
        defer { mg_turn_begin(false) }
        let (bench, waiting) = try spent()
        let (verdict, call) = try bench.request()
        #expect(verdict == .pause)
        #expect(call.request["x-ran"] == nil)
        #expect(waiting.count == 1)
        served(bench)
        #expect(bench.verdicts == [.proceed])
        #expect(call.request["x-ran"] == "yes")
        mg_turn_begin(true)
        #expect(call.run.startResponse() == .pause)
        served(bench)
        #expect(bench.verdicts == [.proceed, .proceed])
        #expect(call.response["x-back"] == "yes")
        #expect(waiting.count == 2)
        call.end()
    }

    @Test func oneGoesOnWhenThereIsNoTimeForMore() throws {
        defer { mg_turn_begin(false) }
        let (bench, waiting) = try spent()
        let calls = try (0..<3).map { _ in try bench.request().1 }
        for done in 1...3 {
            mg_turn_begin(true)
            bench.host.turn.goOn()
            #expect(calls.filter { $0.request["x-ran"] != nil }.count == done)
        }
        #expect(waiting.count == 3, "asked again as long as some wait")
        #expect(bench.host.turn.isEmpty)
        for call in calls { call.end() }
    }

    @Test func runThatEndsLeavesTheQueue() throws {
        defer { mg_turn_begin(false) }
        let (bench, _) = try spent()
        let gone = try bench.request().1
        let stays = try bench.request().1
        gone.end()
        served(bench)
        #expect(bench.verdicts == [.proceed])
        #expect(gone.request["x-ran"] == nil)
        #expect(stays.request["x-ran"] == "yes")
        stays.end()
    }

    @Test func exchangeThatFailsMeanwhileGetsItsResponseHooks() throws {
        defer { mg_turn_begin(false) }
        let (bench, _) = try spent()
        let call = try bench.request().1
        call.run.stopHooks()
        #expect(bench.host.turn.isEmpty)
        #expect(call.run.startResponse() == .proceed, "no policy was reached")
        call.end()
    }

    @Test func logHooksWaitAndAreTold() throws {
        defer { mg_turn_begin(false) }
        let (bench, _) = try spent()
        var told = 0
        bench.host.logged = { _ in told += 1 }
        mg_turn_begin(false)
        let call = try bench.request().1
        mg_turn_begin(true)
        call.run.log()
        #expect(call.run.awaitsLog)
        served(bench)
        #expect(!call.run.awaitsLog)
        #expect(told == 1)
        call.end()
    }

    @Test func clientThatOverrunsIsBarredWhateverOnErrorSays() throws {
        let bench = try PolicyBench(
            ["p.lua": "function on_request(handle) if handle:headers():get('x-slow') then while true do end end end"],
            [.init("p.lua", onError: .continue)], limits: PolicySettings(timeLimit: .milliseconds(10)))
        bench.host.overruns = bench.registry.state.overruns
        guard !mg_guard_is_held_back() else { return }
        let slow = PolicyBench.grpc + [("x-slow", "1")]
        var verdicts: [PolicyVerdict] = []
        for _ in 0..<3 {
            let (verdict, call) = try bench.request(slow)
            verdicts.append(verdict)
            call.end()
        }
        #expect(verdicts == [.proceed, .proceed, .exhausted])
        let (verdict, call) = try bench.request()
        #expect(verdict == .exhausted, "requests that cost nothing, too")
        #expect(call.run.current == 0)
        call.end()
        let other = try bench.call()
        other.run.subject.client = ClientAddress(
            forwarded: try #require(SocketAddress("10.1.2.4:5000")), host: .empty, text: .empty)
        #expect(other.run.startRequest(try bench.chain) == .proceed)
        other.end()
        mg_turn_begin(false)
    }
}
