import Testing

@testable import Moongate

/// The states of RFC 9113 §5.1.
@Suite struct StreamStateTests {
    @Test func aStreamIsOverOnceBothSidesHaveEnded() {
        var state = StreamState()
        #expect(!state.isOver && !state.peerEnded && !state.hasBody)
        state.received(.body)
        state.received(.ended)
        #expect(state.peerEnded && !state.isOver)
        state.sent(.body)
        #expect(state.hasBody)
        state.sent(.ending)
        #expect(!state.hasBody && !state.isOver)
        state.sent(.ended)
        #expect(state.isOver)
    }

    @Test func aMessageWithoutABodyEndsWithItsHead() {
        var state = StreamState()
        state.received(.ended)
        state.sent(.ending)
        state.sent(.ended)
        #expect(state.isOver)
    }

    @Test func aStreamThatIsToBeResetIsNotOver() {
        var state = StreamState()
        state.received(.ended)
        state.requestReset(.cancelled)
        #expect(state.isReset && state.reset == .cancelled)
        state.sent(.ended)
        #expect(!state.isOver)
    }

    #if CHECKED
        @Test func statesThatGoBackEndTheProcess() async {
            await #expect(processExitsWith: .failure) {
                var state = StreamState()
                state.received(.ended)
                state.received(.body)
            }
            await #expect(processExitsWith: .failure) {
                var state = StreamState()
                state.requestReset(.refused)
                state.sent(.body)
            }
        }
    #endif
}

@Suite struct StreamEndTests {
    @Test(arguments: 0...13 as ClosedRange<UInt32>)
    func codesOfHTTP2SurviveTheNeutralForm(code: UInt32) {
        #expect(ErrorCode(StreamEnd(ErrorCode(rawValue: code))).rawValue == code)
    }

    @Test func aStreamThatWasCutOffWasNotProcessed() {
        #expect(StreamEnd.cutOff.isRefused && StreamEnd.refused.isRefused && !StreamEnd.cancelled.isRefused)
        #expect(ErrorCode(.cutOff) == .refusedStream)
    }
}
