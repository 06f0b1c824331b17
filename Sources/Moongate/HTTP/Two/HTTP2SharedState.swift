/// What all HTTP/2 connections of one worker share: memory, and tables of the protocol. Thread-confined.
final class HTTP2SharedState {
    /// Where frames wait for the end of the turn.
    let outputs = OutputPool()
    let compression = CompressionTools()
    /// Steps of TLS handshakes.
    let handshakes = TurnShare(8)
}
