@testable import Moongate

/// A name service that changes its mind.
final class FuzzNames: NameSource {
    enum Manner: UInt8, CaseIterable {
        case found
        /// Somewhere else, where nobody listens.
        case moved
        case both
        case unknown
        /// There is no answer, until `release`.
        case silent
    }

    var manner = Manner.found
    private(set) var questions = 0
    private(set) var failures = 0
    private var waiting: [(Result<HostAddresses, NameFailure>) -> Void] = []

    override func addresses(of host: String, _ completion: @escaping (Result<HostAddresses, NameFailure>) -> Void) {
        questions += 1
        switch manner {
        case .found: completion(FuzzNames.answer(["127.0.0.1"]))
        case .moved: completion(FuzzNames.answer(["127.0.0.2"]))
        case .both: completion(FuzzNames.answer(["127.0.0.2", "127.0.0.1"]))
        case .unknown:
            failures += 1
            completion(.failure(NameFailure("Domain name not found")))
        case .silent: waiting.append(completion)
        }
    }

    /// Questions that wait get their answer.
    func release() {
        let list = waiting
        waiting = []
        for completion in list { completion(FuzzNames.answer(["127.0.0.1"])) }
    }

    private static func answer(_ hosts: [String]) -> Result<HostAddresses, NameFailure> {
        .success(HostAddresses(addresses: hosts.compactMap { SocketAddress(host: $0, port: 0) }, timeToLive: 1))
    }
}
