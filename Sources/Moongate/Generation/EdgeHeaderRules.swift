import MoongateConfig

/// What a listener does to the heads of requests before anything else looks at them.
struct EdgeHeaderRules {
    /// `forwarded` of the listener, as far as it is trivial.
    struct Forwarded {
        /// 0: the proxies are told by their addresses alone.
        let trustedHops: Int
        let xForwardedFor: ForwardedConfig.AddressMode
        let xForwardedProto: ForwardedConfig.Mode
        let xForwardedHost: ForwardedConfig.Mode
        let forwarded: ForwardedConfig.Mode

        fileprivate init(_ config: ForwardedConfig) {
            trustedHops = config.trustedHops
            xForwardedFor = config.xForwardedFor
            xForwardedProto = config.xForwardedProto
            xForwardedHost = config.xForwardedHost
            forwarded = config.forwarded
        }
    }

    let forwarded: Forwarded
    let underscores: UnderscoreMode
    /// The proxies that are believed.
    private let trusted: AddressRanges
    let requestID: RequestIDMode
    let paths: PathMode
    /// Names of headers that no hop may index, beyond those that always are.
    private let neverIndex: UnsafeMutableBufferPointer<Bytes>

    /// - Throws: what is wrong with the trusted addresses.
    init(_ listener: ListenerConfig) throws(Diagnostic) {
        let forwarded = listener.forwarded ?? ForwardedConfig()
        trusted = try EdgeHeaderRules.ranges(forwarded.trusted, listener.location)
        self.forwarded = Forwarded(forwarded)
        underscores = listener.headersWithUnderscores ?? .drop
        requestID = listener.requestID ?? .off
        paths = listener.paths ?? .strict
        neverIndex = .allocate(capacity: listener.neverIndex.count)
        for (index, name) in listener.neverIndex.enumerated() {
            neverIndex.initializeElement(at: index, to: Bytes.allocated(name))
        }
    }

    /// The rules must not be used afterwards.
    func free() {
        trusted.free()
        for name in neverIndex { name.base.deallocate() }
        neverIndex.deallocate()
    }

    /// Whether the peer is a proxy that is believed about the headers that say where a request came from.
    @inline(__always) func trusts(_ peer: PeerAddress) -> Bool { !trusted.isEmpty && trusted.contains(peer.socket) }

    /// Whether an address that a proxy names is itself a proxy's.
    func trusts(_ address: SocketAddress) -> Bool { trusted.contains(address) }

    private static func ranges(
        _ blocks: [String], _ location: SourceLocation
    ) throws(Diagnostic) -> AddressRanges {
        var ranges: [ClosedRange<AddressRanges.Number>] = []
        for block in blocks {
            do throws(CIDRFault) {
                ranges.append(try CIDR(block).range)
            } catch {
                throw Diagnostic(location: location, message: "forwarded.trusted: \(error.message)", hint: error.hint)
            }
        }
        return AddressRanges(ranges)
    }

    @inline(__always) func markSecrets(_ request: HeaderList) {
        guard neverIndex.count > 0 else { return }
        for name in neverIndex { request.neverIndex(name) }
    }
}

extension CIDR {
    /// As `AddressRanges` counts.
    fileprivate var range: ClosedRange<AddressRanges.Number> {
        family == .v6 ? first...last : SocketAddress.mappedStart | first...SocketAddress.mappedStart | last
    }
}
