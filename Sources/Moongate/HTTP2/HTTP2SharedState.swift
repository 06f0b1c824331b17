/// What all HTTP/2 engines of one worker share: tables of the protocol. Thread-confined.
final class HTTP2SharedState {
    let compression = CompressionTools()
}
