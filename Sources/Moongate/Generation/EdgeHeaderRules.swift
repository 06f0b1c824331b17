import MoongateConfig

/// What a listener does to the heads of requests before anything else looks at them.
struct EdgeHeaderRules {
    let forwarded: ForwardedConfig
    let requestID: RequestIDMode
    let paths: PathMode
    /// Names of headers that no hop may index, beyond those that always are.
    private let neverIndex: UnsafeMutableBufferPointer<Bytes>

    init(_ listener: ListenerConfig) {
        forwarded = listener.forwarded ?? ForwardedConfig()
        requestID = listener.requestID ?? .off
        paths = listener.paths ?? .strict
        neverIndex = .allocate(capacity: listener.neverIndex.count)
        for (index, name) in listener.neverIndex.enumerated() {
            neverIndex.initializeElement(at: index, to: Bytes.allocated(name))
        }
    }

    /// The rules must not be used afterwards.
    func free() {
        for name in neverIndex { name.base.deallocate() }
        neverIndex.deallocate()
    }

    @inline(__always) func markSecrets(_ request: UnsafeMutablePointer<HeaderList>) {
        guard neverIndex.count > 0 else { return }
        for name in neverIndex { request.pointee.neverIndex(name) }
    }
}
