import Testing

@testable import Moongate

@Suite struct UnsettledStreamsTests {
    /// Those of one connection leave in their order; who has gone meanwhile is not among them.
    @Test func leaveInTheOrderInWhichTheyCame() {
        let delegate = UpstreamStreamDelegate()
        let owners = (0..<5).map { _ in StreamOwner(.allocate(byteCount: 1, alignment: 1)) }
        defer { owners.forEach { $0.pointer.deallocate() } }
        let one = ObjectIdentifier(delegate)
        let other = ObjectIdentifier(UpstreamStreamDelegate.self)
        var streams = UnsettledStreams()
        for (index, owner) in owners.enumerated() {
            streams.append(
                PendingStream(owner: owner, delegate: Unmanaged.passUnretained(delegate)),
                waitingFor: index == 1 ? other : one)
        }
        let isGone = streams.remove(owners[3])
        let isGoneAgain = streams.remove(owners[3])
        #expect(isGone && !isGoneAgain)
        var left: [StreamOwner] = []
        while let pendingStream = streams.next(of: one) { left.append(pendingStream.owner) }
        #expect(left == [owners[0], owners[2], owners[4]])
        let last = streams.next(of: other)?.owner
        #expect(last == owners[1] && streams.count == 0)
    }
}
