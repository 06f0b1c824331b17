/// Who hears of upstream streams of one kind: of their events, and before, when one that waited for a connection may go on.
class UpstreamStreamDelegate: StreamDelegate {
    /// `connection` has room for the stream now.
    func connectionReady(_ owner: StreamOwner, _ connection: UpstreamConnection) {}

    /// The stream waits at `endpoint` from now on.
    func waits(_ owner: StreamOwner, _ endpoint: Endpoint) {}

    /// There will be no connection; `reason` is for people.
    func connectionFailed(_ owner: StreamOwner, _ reason: String) {}
}

/// A stream that looks for a connection, and who hears how that goes.
struct PendingStream {
    let owner: StreamOwner
    let delegate: Unmanaged<UpstreamStreamDelegate>

    func connectionReady(_ connection: UpstreamConnection) {
        delegate._withUnsafeGuaranteedRef { $0.connectionReady(owner, connection) }
    }

    func waits(_ endpoint: Endpoint) { delegate._withUnsafeGuaranteedRef { $0.waits(owner, endpoint) } }

    func connectionFailed(_ reason: String) {
        delegate._withUnsafeGuaranteedRef { $0.connectionFailed(owner, reason) }
    }
}
