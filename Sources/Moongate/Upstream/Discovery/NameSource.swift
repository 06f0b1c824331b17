/// Who answers questions about names: DNS, or a stand-in of tests. This one knows nothing.
///
/// Used on one event loop's thread. A completion runs once, on that thread, perhaps before the call returns.
class NameSource {
    init() {}

    /// The addresses of a host, with port 0: at least one, each once.
    func addresses(of host: String, _ completion: @escaping (Result<HostAddresses, NameFailure>) -> Void) {
        completion(.failure(NameFailure("there is no name service")))
    }

    /// Where a service is offered (RFC 2782): at least one record.
    func services(of name: String, _ completion: @escaping (Result<ServiceRecords, NameFailure>) -> Void) {
        completion(.failure(NameFailure("there is no name service")))
    }
}

/// The addresses that a host has now.
struct HostAddresses: Equatable {
    /// So many are used of an answer, which may be anybody's: each costs every worker an endpoint.
    static let limit = 1024

    /// `limit` at most.
    var addresses: [SocketAddress]
    /// Seconds that they may be used without asking again; `nil`: no one said, as for those in `/etc/hosts`.
    var timeToLive: UInt32?
    /// There were more.
    var isCut = false
}

/// The SRV records that a service has now.
struct ServiceRecords: Equatable {
    struct Record: Equatable {
        var priority: UInt16
        var weight: UInt16
        var port: UInt16
        /// Without a dot at its end.
        var target: String
    }
    var records: [Record]
    /// Seconds that they may be used without asking again.
    var timeToLive: UInt32
}

/// Why a question about a name has no answer.
struct NameFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// For clients, without a name: `Domain name not found`.
    let told: String
    /// The name that could not be resolved, where it is another than the one that was asked for.
    let name: String?

    init(_ told: String, of name: String? = nil) {
        self.told = told
        self.name = name
    }

    /// For operators: `one.greeter.test: Domain name not found`.
    var description: String { name.map { "\($0): \(told)" } ?? told }
}
