import MoongateConfig

/// The state of a request's path after canonicalization.
struct CanonicalPath {
    /// Of the path as it is.
    var traits: PathTraits = []
    /// As the client sent it, where that is something else than its canonical form; else empty.
    var sent = Bytes.empty
    /// The client's path is settled; others are of policies.
    var isKnown = false

    /// Makes the path of a request canonical.
    /// - Parameter path: the one that the request has.
    /// - Returns: why it cannot be; the path then stays as it is.
    mutating func settle(
        _ request: HeaderList, _ path: Bytes, _ mode: PathMode
    ) -> PathFault? {
        let isGRPC = CanonicalPath.isGRPC(request)
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: path.count + 1) { buffer in
            guard let base = buffer.baseAddress else { return .noSlash }
            switch RequestPath.canonicalize(path, mode, isGRPC: isGRPC, into: base) {
            case .plain(let traits): self.traits = traits
            case .rewritten(let count, let traits):
                self.traits = traits
                if !isKnown { sent = path }
                request.set(name: Bytes(":path"), value: Bytes(base, count))
            case .refused(let fault): return fault
            }
            return nil
        }
    }

    /// A content type of the family, gRPC-Web's included: servers dispatch all of them by their paths.
    private static func isGRPC(_ request: HeaderList) -> Bool {
        for index in 0..<request.count where request[index].id == .contentType {
            if GRPCContentType.isRelated(request[index].value) { return true }
        }
        return false
    }
}
