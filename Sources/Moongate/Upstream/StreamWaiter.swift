/// Who is told when a stream that waited for a connection may go on. One object per worker.
class StreamWaiter {
    /// `connection` has room for the stream now.
    func connectionReady(_ owner: UnsafeMutableRawPointer, _ connection: UpstreamConnection) {}

    /// The stream waits at `endpoint` from now on.
    func waits(_ owner: UnsafeMutableRawPointer, _ endpoint: Endpoint) {}

    /// There will be no connection; `reason` is for people.
    func connectionFailed(_ owner: UnsafeMutableRawPointer, _ reason: String) {}
}
