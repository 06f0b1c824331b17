import MoongateConfig
import Testing

@testable import Moongate

/// How much of a body a hook for messages is given at a time.
@Suite struct MessageTurnsTests {
    /// A response on its way through a hook, with memory that belongs to it.
    private final class Stream {
        let bench: PolicyBench
        let call: PolicyBench.Call
        let body = SpecBody()

        init(_ text: String, onError: PolicyReference.OnError = .deny) throws {
            bench = try PolicyBench(text, onError: onError)
            call = try bench.request().1
            call.response.add("content-type", "application/grpc")
            body.begin([0])
            call.run.subject.responseFlow = body.flow(call.response)
            #expect(call.run.startResponse() == .proceed)
        }

        func receive(_ bytes: [UInt8]) {
            bytes.withBytes { call.run.responseBody?.receive($0) }
            call.run.bodyReceived()
        }

        var runs: UInt64 {
            bench.program.instances[0].stats.summary.hooks.first { $0.hook == .onMessage }?.runs ?? 0
        }

        deinit { call.end() }
    }

    @Test func afterSoManyMessagesOthersHaveTheirTurn() throws {
        let stream = try Stream("function on_grpc_message() end")
        stream.receive(Array(repeating: 0, count: 5 * 600))
        for _ in 0..<3 { stream.bench.host.turnEnded() }
        #expect(stream.runs == 256)
        stream.bench.host.turnBegan()
        #expect(stream.runs == 512)
        stream.bench.host.turnBegan()
        #expect(stream.runs == 600)
        #expect(!stream.bench.host.isResting)
    }

    @Test func noMessageIsBegunWhileTheQueueIsFullAndABegunOneOpensTheWindow() throws {
        let stream = try Stream("function on_grpc_message() end")
        let large = [0, 0, 1, 0, 0] + [UInt8](repeating: 7, count: 1 << 16)
        stream.receive(Array(large[..<100]))
        let body = try #require(stream.call.run.responseBody)
        #expect(stream.runs == 0 && body.takeConsumed() == 100)
        stream.receive(Array(large[100...]) + Array(large[..<100]))
        #expect(stream.runs == 1)
        #expect(body.takeConsumed() == 0, "nobody has read what is queued")
        #expect(body.stages[0].held == 100)
        body.flow.queue?.pointee.clear(stream.bench.host.blocks)
        stream.call.run.drive()
        #expect(body.takeConsumed() == large.count)
        #expect(body.stages[0].held == 0 && stream.runs == 1)
        stream.receive(Array(large[100...]))
        #expect(stream.runs == 2)
    }

    @Test func aHookThatFailedIsCalledForTheNextMessage() throws {
        let stream = try Stream("function on_grpc_message(h, m) error('no') end", onError: .continue)
        stream.receive(Array(repeating: 0, count: 15))
        #expect(stream.runs == 3)
        #expect(stream.bench.log.all.count == 3)
        #expect(stream.bench.verdicts.isEmpty)
    }
}
