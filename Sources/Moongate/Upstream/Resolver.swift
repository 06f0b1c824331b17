import CMoongate
import Glibc

/// Turns host names into addresses away from the event loops.
///
/// The system's resolver blocks for seconds when a name server is silent; a few threads wait in it, so that one
/// such name does not hold up the others. Askers for a name that is being looked up share the answer. Nothing is
/// kept: who wants fresh addresses asks again.
final class Resolver: Sendable {
    typealias Completion = @Sendable (Result<[SocketAddress], ResolutionFailure>) -> Void
    /// `getaddrinfo` or a stand-in: addresses with port 0, in order of preference.
    typealias Lookup = @Sendable (_ host: String) -> Result<[SocketAddress], ResolutionFailure>

    private struct Asker {
        let port: UInt16
        let completion: Completion
    }

    private let pool: BackgroundPool
    private let lookup: Lookup
    /// Who waits for which name; a name is here from its first asker until its answer.
    private let waiting = Locked<[String: [Asker]]>([:])

    /// - Throws: `SystemError` when the system refuses a thread.
    init(threads: Int = 4, queueLimit: Int = 4096, lookup: @escaping Lookup = Resolver.systemLookup) throws {
        pool = try BackgroundPool(name: "mg-resolver", threads: threads, queueLimit: queueLimit)
        self.lookup = lookup
    }

    /// Finds the addresses of a host: at least one, each once, all with `port`.
    ///
    /// `completion` runs once, on a resolver thread; for a literal address at once, on the calling thread. After
    /// `stop` it may not run at all.
    func resolve(_ host: String, port: UInt16, completion: @escaping Completion) {
        if let address = SocketAddress(host: host, port: port) { return completion(.success([address])) }
        let isFirst = waiting.withLock { waiting in
            waiting[host, default: []].append(Asker(port: port, completion: completion))
            return waiting[host]?.count == 1
        }
        guard isFirst else { return }
        let isQueued = pool.submit { self.answer(host, self.lookup(host)) }
        if !isQueued { answer(host, .failure(ResolutionFailure(host: host, reason: "too many lookups are waiting"))) }
    }

    /// Takes no more questions and drops those that wait.
    func stop() {
        pool.stop()
        let dropped = waiting.withLock { waiting in
            defer { waiting = [:] }
            return waiting
        }
        withExtendedLifetime(dropped) {}
    }

    private func answer(_ host: String, _ result: Result<[SocketAddress], ResolutionFailure>) {
        let askers = waiting.withLock { $0.removeValue(forKey: host) } ?? []
        for asker in askers {
            asker.completion(
                result.map { addresses in
                    addresses.map { address in
                        var address = address
                        address.port = asker.port
                        return address
                    }
                })
        }
    }
}

/// Why a name has no addresses now.
struct ResolutionFailure: Error, Sendable, Hashable, CustomStringConvertible {
    let host: String
    let reason: String

    /// `greeter.example: Name or service not known`
    var description: String { "\(host): \(reason)" }
}

extension Resolver {
    /// The system's resolver, with `/etc/hosts` and whatever else nsswitch.conf names. Families without a configured
    /// interface are left out (RFC 3493 `AI_ADDRCONFIG`).
    static func systemLookup(_ host: String) -> Result<[SocketAddress], ResolutionFailure> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &list)
        let code = errno
        guard status == 0 else {
            let reason = status == EAI_SYSTEM ? SystemError.text(of: code) : String(cString: gai_strerror(status))
            return .failure(ResolutionFailure(host: host, reason: reason))
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        for entry in sequence(first: list, next: { $0?.pointee.ai_next }) {
            guard let info = entry?.pointee, let address = SocketAddress(info) else { continue }
            if !addresses.contains(address) { addresses.append(address) }
        }
        if addresses.isEmpty { return .failure(ResolutionFailure(host: host, reason: "no IPv4 or IPv6 address")) }
        return .success(addresses)
    }
}

extension SocketAddress {
    fileprivate init?(_ info: addrinfo) {
        var storage = sockaddr_storage()
        let length = Int(info.ai_addrlen)
        guard let source = info.ai_addr, length <= MemoryLayout<sockaddr_storage>.size else { return nil }
        memcpy(&storage, source, length)
        self.init(storage)
    }
}
