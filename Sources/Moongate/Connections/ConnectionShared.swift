/// What all connections of one worker share: memory, tables of protocols, and turns. Thread-confined.
final class ConnectionShared {
    /// Where output waits for the end of the turn.
    let outputs = OutputPool()
    /// Steps of TLS handshakes.
    let handshakes = TurnShare(8)
    let http2 = HTTP2SharedState()
}
