/// Copies of a request for the mirrors of its route (F7).
final class RequestMirrors {
    /// How long a copy may be answered once its request has ended: 30 s.
    fileprivate static let patience: UInt64 = 30_000_000_000

    fileprivate let copies: [MirrorCopy]
    /// Body bytes that the current attempt has read, and that the copies have got.
    fileprivate var position = 0
    fileprivate var copied = 0

    fileprivate init(_ copies: [MirrorCopy]) { self.copies = copies }
}

extension Pooled where Record == ExchangeRecord {
    /// The request goes to its upstream for the first time: begins the copies that the dice allow. Further attempts make no
    /// further ones.
    func beginMirrors(isComplete: Bool) {
        self.wantsMirrors = false
        guard let host = self.host, let generation = self.generation,
            let mirrors = generation.route(self.route).pointee.mirrors
        else { return }
        var copies: [MirrorCopy] = []
        mirrors._withUnsafeGuaranteedRef { mirrors in
            for mirror in mirrors.mirrors
            where StableHash.bucket(StableHash.mix(host.random()), of: 1_000_000) < mirror.millionths {
                let copy = host.mirrorStreams.begin(
                    mirror, generation.upstream(mirror.upstream), self.request, isComplete: isComplete)
                if let copy { copies.append(copy) }
            }
        }
        if !copies.isEmpty { self.mirrors = RequestMirrors(copies) }
    }

    /// The upstream has got `bytes` of the body.
    func mirror(_ bytes: Bytes) {
        guard let mirrors = self.mirrors else { return }
        // Another attempt's stream has read on its own account.
        guard self.takenStream == nil else { return mirrors.copies.forEach { $0.drop(.incomplete) } }
        // A further attempt begins anew, with what the copies have.
        mirrors.position =
            self.requestBody.retains ? self.requestBody.retained : mirrors.position + bytes.count
        let fresh = min(bytes.count, mirrors.position - mirrors.copied)
        guard fresh > 0 else { return }
        mirrors.copied = mirrors.position
        for copy in mirrors.copies { copy.append(bytes[bytes.count - fresh..<bytes.count]) }
    }

    /// The upstream has got the whole request.
    func finishMirrors() {
        guard let mirrors = self.mirrors, self.takenStream == nil else { return }
        for copy in mirrors.copies { copy.finish(self.requestTrailers) }
    }

    /// The exchange is over.
    func endMirrors() {
        guard let mirrors = self.mirrors else { return }
        self.mirrors = nil
        for copy in mirrors.copies { copy.requestEnded(within: RequestMirrors.patience) }
    }
}
