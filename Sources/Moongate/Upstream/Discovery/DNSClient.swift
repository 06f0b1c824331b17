import CCares
import CMoongate
import Glibc
import MoongateConfig

/// Asks `/etc/hosts` and DNS by means of c-ares, on one event loop. The only place that knows c-ares.
final class DNSClient: NameSource {
    private static let systemFile = "/etc/resolv.conf"
    /// c-ares keeps tables of its own, made once for the process.
    private static let library = ares_library_init(ARES_LIB_INIT_ALL)

    private let loop: EventLoop
    private var channel: ares_channel?
    private var sockets: [Int32: DNSSocket] = [:]
    private var timer: OwnedTimer?
    private(set) var settings: DNSSettings
    /// Questions without an answer.
    private var pending = 0
    /// Calls of c-ares that have not returned: it must not be ended in one of them.
    private var depth = 0
    /// When the system's settings changed last, as far as the channel knows them.
    private var systemFileChanged: timespec

    /// - Throws: why c-ares does not begin.
    init(loop: EventLoop, settings: DNSSettings) throws(NameFailure) {
        self.loop = loop
        self.settings = settings
        systemFileChanged = DNSClient.changeOfSystemFile()
        super.init()
        timer = OwnedTimer(loop) { [weak self] in self?.process(-1, -1) }
        channel = try makeChannel()
    }

    /// What is still asked fails.
    deinit { close() }

    /// Asks other servers from now on. Questions under way fail. Not within a completion.
    func use(_ settings: DNSSettings) throws(NameFailure) {
        self.settings = settings
        try renew()
    }

    // MARK: Questions

    override func addresses(of host: String, _ completion: @escaping (Result<HostAddresses, NameFailure>) -> Void) {
        renewIfSystemChanged()
        guard let channel else { return super.addresses(of: host, completion) }
        let listed = listedAddresses(of: host, channel)
        if !listed.isEmpty {
            return completion(.success(HostAddresses(addresses: DNSClient.reachable(listed), timeToLive: nil)))
        }
        var hints = ares_addrinfo_hints()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        // Sorting would open sockets to every address, and all of them are used anyway.
        hints.ai_flags = ARES_AI_NOSORT
        pending += 1
        let question = AddressQuestion { [weak self] result in
            self?.pending -= 1
            completion(result)
        }
        depth += 1
        ares_getaddrinfo(
            channel, host, nil, &hints,
            { context, status, _, list in
                guard let context else { return }
                let question = Unmanaged<AddressQuestion>.fromOpaque(context).takeRetainedValue()
                defer { if let list { ares_freeaddrinfo(list) } }
                question.completion(DNSClient.read(status, list))
            }, Unmanaged.passRetained(question).toOpaque())
        depth -= 1
        setTimer()
    }

    override func services(of name: String, _ completion: @escaping (Result<ServiceRecords, NameFailure>) -> Void) {
        renewIfSystemChanged()
        guard let channel else { return super.services(of: name, completion) }
        pending += 1
        let question = ServiceQuestion { [weak self] result in
            self?.pending -= 1
            completion(result)
        }
        depth += 1
        ares_query(
            channel, name, 1, 33,
            { context, status, _, message, length in
                guard let context else { return }
                let question = Unmanaged<ServiceQuestion>.fromOpaque(context).takeRetainedValue()
                question.completion(DNSClient.read(status, message, length))
            }, Unmanaged.passRetained(question).toOpaque())
        depth -= 1
        setTimer()
    }

    // MARK: Answers

    private static func failure(_ status: Int32) -> NameFailure {
        NameFailure(String(cString: ares_strerror(status)))
    }

    private static func read(
        _ status: Int32, _ list: UnsafeMutablePointer<ares_addrinfo>?
    ) -> Result<HostAddresses, NameFailure> {
        guard status == ARES_SUCCESS, let list else { return .failure(failure(status)) }
        var addresses: [SocketAddress] = []
        var isCut = false
        var timeToLive = Int32.max
        var node = list.pointee.nodes
        while let entry = node {
            isCut = addresses.count == HostAddresses.limit
            if isCut { break }
            if let address = SocketAddress(entry.pointee), !addresses.contains(address) { addresses.append(address) }
            timeToLive = min(timeToLive, entry.pointee.ai_ttl)
            node = entry.pointee.ai_next
        }
        var alias = list.pointee.cnames
        while let entry = alias {
            timeToLive = min(timeToLive, entry.pointee.ttl)
            alias = entry.pointee.next
        }
        guard !addresses.isEmpty else { return .failure(NameFailure("no IPv4 or IPv6 address")) }
        return .success(
            HostAddresses(
                addresses: reachable(addresses), timeToLive: UInt32(clamping: max(0, timeToLive)), isCut: isCut))
    }

    private static func read(
        _ status: Int32, _ message: UnsafeMutablePointer<UInt8>?, _ length: Int32
    ) -> Result<ServiceRecords, NameFailure> {
        guard status == ARES_SUCCESS, let message, length > 0 else { return .failure(failure(status)) }
        let bytes = Array(UnsafeBufferPointer(start: message, count: Int(length)))
        guard let records = ServiceMessage.records(of: bytes) else {
            return .failure(NameFailure("the answer is malformed"))
        }
        guard !records.records.isEmpty else { return .failure(NameFailure("no SRV record")) }
        return .success(records)
    }

    /// What `/etc/hosts` says, which goes before DNS.
    private func listedAddresses(of host: String, _ channel: ares_channel) -> [SocketAddress] {
        let name = host.hasSuffix(".") ? String(host.dropLast()) : host
        var addresses: [SocketAddress] = []
        for family in [AF_INET, AF_INET6] {
            var entry: UnsafeMutablePointer<hostent>?
            guard ares_gethostbyname_file(channel, name, family, &entry) == ARES_SUCCESS, let entry else { continue }
            defer { ares_free_hostent(entry) }
            guard entry.pointee.h_addrtype == family, let list = entry.pointee.h_addr_list else { continue }
            var index = 0
            while let raw = list[index] {
                let bytes = UnsafeRawBufferPointer(start: raw, count: family == AF_INET ? 4 : 16)
                if let address = SocketAddress(bytes: bytes, port: 0), !addresses.contains(address) {
                    addresses.append(address)
                }
                index += 1
            }
        }
        return addresses
    }

    /// Without IPv6 addresses where the machine has none of its own but the loopback's, as RFC 3493 `AI_ADDRCONFIG` means it;
    /// loopback addresses stay.
    private static func reachable(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard addresses.contains(where: { $0.family == .v6 }), !hasIPv6() else { return addresses }
        let rest = addresses.filter { $0.family == .v4 || $0.host == "::1" }
        return rest.isEmpty ? addresses : rest
    }

    private static func hasIPv6() -> Bool {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return true }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next {
            if let address = entry.pointee.ifa_addr, Int32(address.pointee.sa_family) == AF_INET6,
                entry.pointee.ifa_flags & UInt32(IFF_LOOPBACK) == 0
            {
                return true
            }
            next = entry.pointee.ifa_next
        }
        return false
    }

    // MARK: The channel

    private func makeChannel() throws(NameFailure) -> ares_channel? {
        guard DNSClient.library == ARES_SUCCESS else { throw DNSClient.failure(DNSClient.library) }
        var options = ares_options()
        options.timeout = Int32(clamping: settings.timeout / 1_000_000)
        options.tries = Int32(clamping: settings.attempts)
        options.sock_state_cb = { context, socket, reads, writes in
            guard let context else { return }
            let client = Unmanaged<DNSClient>.fromOpaque(context).takeUnretainedValue()
            client.watch(socket, reads: reads != 0, writes: writes != 0)
        }
        // The channel ends before this object does.
        options.sock_state_cb_data = Unmanaged.passUnretained(self).toOpaque()
        var made: ares_channel?
        // "b" is DNS alone: the file has been looked at by then.
        let status = "b".withCString { lookups in
            options.lookups = UnsafeMutablePointer(mutating: lookups)
            return ares_init_options(
                &made, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS)
        }
        guard status == ARES_SUCCESS, let made else { throw DNSClient.failure(status) }
        if !settings.servers.isEmpty {
            let list = settings.servers.map(\.description).joined(separator: ",")
            let status = ares_set_servers_ports_csv(made, list)
            guard status == ARES_SUCCESS else {
                ares_destroy(made)
                throw DNSClient.failure(status)
            }
        }
        return made
    }

    /// Nothing is asked any more; what is under way fails. Not within a completion.
    func close() {
        guard let channel else { return }
        self.channel = nil
        // Calls back for everything that is under way.
        ares_destroy(channel)
        timer?.clear()
    }

    private func renew() throws(NameFailure) {
        close()
        systemFileChanged = DNSClient.changeOfSystemFile()
        channel = try makeChannel()
    }

    /// c-ares reads the system's settings once.
    private func renewIfSystemChanged() {
        guard settings.servers.isEmpty, pending == 0, depth == 0 else { return }
        let changed = DNSClient.changeOfSystemFile()
        guard changed.tv_sec != systemFileChanged.tv_sec || changed.tv_nsec != systemFileChanged.tv_nsec else { return }
        try? renew()
    }

    private static func changeOfSystemFile() -> timespec {
        var status = stat()
        return stat(systemFile, &status) == 0 ? status.st_mtim : timespec()
    }

    // MARK: Sockets and time

    private func watch(_ socket: Int32, reads: Bool, writes: Bool) {
        guard reads || writes else {
            guard let handler = sockets.removeValue(forKey: socket) else { return }
            loop.remove(socket)
            return loop.releaseLater(handler)
        }
        let events = (reads ? EPOLLIN.rawValue : 0) | (writes ? EPOLLOUT.rawValue : 0)
        // Where the system refuses, the question runs into its time limit.
        if let handler = sockets[socket] {
            try? loop.modify(socket, events, handler)
        } else {
            let handler = DNSSocket(self, socket)
            sockets[socket] = handler
            try? loop.add(socket, events, handler)
        }
    }

    /// - Parameters: sockets that are ready; -1: none, only time has passed.
    fileprivate func process(_ readable: Int32, _ writable: Int32) {
        guard let channel else { return }
        depth += 1
        ares_process_fd(channel, readable, writable)
        depth -= 1
        setTimer()
    }

    private func setTimer() {
        guard let channel else { return }
        var time = timeval()
        guard ares_timeout(channel, nil, &time) != nil else {
            timer?.clear()
            return
        }
        timer?.set(after: UInt64(clamping: time.tv_sec) * 1_000_000_000 + UInt64(clamping: time.tv_usec) * 1000)
    }
}

/// How DNS is asked.
struct DNSSettings: Sendable, Equatable {
    /// Empty: those of `/etc/resolv.conf`.
    var servers: [SocketAddress]
    /// Nanoseconds to wait for the first answer; the time doubles with every further attempt.
    var timeout: UInt64
    /// How often every server is asked.
    var attempts: Int
}

/// A socket of c-ares on the event loop.
private final class DNSSocket: EventHandler {
    private weak var client: DNSClient?
    private let descriptor: Int32

    init(_ client: DNSClient, _ descriptor: Int32) {
        self.client = client
        self.descriptor = descriptor
    }

    override func ready(_ events: UInt32) {
        let isBroken = events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
        let reads = isBroken || events & EPOLLIN.rawValue != 0
        let writes = isBroken || events & EPOLLOUT.rawValue != 0
        client?.process(reads ? descriptor : -1, writes ? descriptor : -1)
    }
}

/// Who waits for an answer, on its way through c-ares.
private final class AddressQuestion {
    let completion: (Result<HostAddresses, NameFailure>) -> Void
    init(_ completion: @escaping (Result<HostAddresses, NameFailure>) -> Void) { self.completion = completion }
}

private final class ServiceQuestion {
    let completion: (Result<ServiceRecords, NameFailure>) -> Void
    init(_ completion: @escaping (Result<ServiceRecords, NameFailure>) -> Void) { self.completion = completion }
}

extension SocketAddress {
    fileprivate init?(_ node: ares_addrinfo_node) {
        var storage = sockaddr_storage()
        let length = Int(node.ai_addrlen)
        guard let source = node.ai_addr, length <= MemoryLayout<sockaddr_storage>.size else { return nil }
        memcpy(&storage, source, length)
        self.init(storage)
        port = 0
    }
}

extension DNSSettings {
    init(_ config: DNSConfig) {
        servers = config.servers.compactMap { SocketAddress(host: $0.host, port: $0.port) }
        timeout = config.timeout.nanoseconds
        attempts = config.attempts
    }
}
