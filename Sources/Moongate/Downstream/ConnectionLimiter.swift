import Logging
import Synchronization

/// How many connections each listener has, in all and by address: for the whole process.
final class ConnectionLimiter: Sendable {
    private struct Place: Hashable {
        let listener: ListenerIdentity
        let address: ClientShare
    }

    private struct State {
        var listeners: [ListenerIdentity: Int] = [:]
        var places: [Place: Int] = [:]
        var log: [ListenerIdentity: RefusalPace] = [:]
    }

    private let state = Locked(State())
    private let registry: MetricsRegistry
    private let logger: Logger

    /// - Parameter logger: hears of refusals, now and then.
    init(registry: MetricsRegistry, logger: Logger) {
        self.registry = registry
        self.logger = logger
    }

    /// Counts a connection in until its permit is gone.
    func admit(_ listener: ListenerSettings, _ peer: SocketAddress) -> Admission {
        let place = ConnectionLimiter.place(listener.identity, peer)
        return state.withLock { state in
            guard state.listeners[listener.identity, default: 0] < listener.limits.connections else {
                return .refused(.connections)
            }
            // The address of a proxy says nothing: the client's is to come.
            let isProxy = listener.proxyProtocol != nil
            guard isProxy || state.places[place, default: 0] < listener.limits.connectionsPerAddress else {
                return .refused(.connectionsPerAddress)
            }
            state.listeners[listener.identity, default: 0] += 1
            state.places[place, default: 0] += 1
            return .permit(ConnectionPermit(self, listener.identity, peer))
        }
    }

    enum Admission {
        case permit(ConnectionPermit)
        case refused(ConnectionLimit)
    }

    /// Counts a connection as another address's: a proxy has said for whom it speaks.
    /// - Returns: false when that address has as many as it may.
    fileprivate func move(_ listener: ListenerSettings, from old: SocketAddress, to new: SocketAddress) -> Bool {
        let place = ConnectionLimiter.place(listener.identity, new)
        return state.withLock { state in
            ConnectionLimiter.leave(&state.places, ConnectionLimiter.place(listener.identity, old))
            let isRoom = state.places[place, default: 0] < listener.limits.connectionsPerAddress
            let counted = isRoom ? place : ConnectionLimiter.place(listener.identity, old)
            state.places[counted, default: 0] += 1
            return isRoom
        }
    }

    fileprivate func leave(_ listener: ListenerIdentity, _ peer: SocketAddress) {
        state.withLock { state in
            ConnectionLimiter.leave(&state.listeners, listener)
            ConnectionLimiter.leave(&state.places, ConnectionLimiter.place(listener, peer))
        }
    }

    private static func leave<Key>(_ counts: inout [Key: Int], _ key: Key) {
        guard let count = counts[key] else { return }
        counts[key] = count > 1 ? count - 1 : nil
    }

    private static func place(_ listener: ListenerIdentity, _ peer: SocketAddress) -> Place {
        Place(listener: listener, address: ClientShare(peer))
    }

    // MARK: Refusals

    /// The row of the acceptor thread in the counters of listeners.
    var acceptorRow: Int { registry.workers }

    /// The listener takes a pause because of its `connection_rate`.
    func paused(_ listener: ListenerSettings) {
        let counters = registry.listeners.entry(listener.name)
        withExtendedLifetime(counters) { ListenerCells(row: counters.block.row(acceptorRow)).acceptPauses.add() }
    }

    /// Counts a connection that was refused, and says so at most every ten seconds for a listener.
    ///
    /// - Parameter row: of the calling thread in the counters of listeners.
    func refused(
        _ listener: ListenerSettings, _ peer: SocketAddress, _ limit: ConnectionLimit, row: Int, at now: Instant
    ) {
        let counters = registry.listeners.entry(listener.name)
        // A reload may have taken the listener away, and then nobody else keeps them.
        withExtendedLifetime(counters) { ListenerCells(row: counters.block.row(row)).refused(limit).add() }
        let count = state.withLock { $0.log[listener.identity, default: RefusalPace()].add(at: now) }
        guard count > 0 else { return }
        logger.warning(
            "connections refused: too many",
            metadata: [
                "listener": "\(listener.name)", "limit": "\(limit)", "last_address": "\(peer.host)",
                "refused": "\(count)",
            ])
    }
}

/// How often refusals are told.
struct RefusalPace {
    private static let interval: UInt64 = 10_000_000_000

    private var lastTold: Instant?
    private var untold = 0

    /// - Returns: how many refusals are to be told now; 0: none.
    mutating func add(at now: Instant) -> Int {
        untold += 1
        if let lastTold, now < lastTold &+ RefusalPace.interval { return 0 }
        lastTold = now
        defer { untold = 0 }
        return untold
    }
}

/// The place of a connection in the limiter; it is free again when the permit goes.
final class ConnectionPermit: Sendable {
    private let limiter: ConnectionLimiter
    private let listener: ListenerIdentity
    private let peer: Locked<SocketAddress>

    fileprivate init(_ limiter: ConnectionLimiter, _ listener: ListenerIdentity, _ peer: SocketAddress) {
        self.limiter = limiter
        self.listener = listener
        self.peer = Locked(peer)
    }

    deinit { limiter.leave(listener, peer.withLock { $0 }) }

    /// Counts a connection by PROXY protocol as the client's. False: that has as many as it may.
    ///
    /// - Parameter row: of the calling thread in the counters of listeners.
    func move(to address: SocketAddress, _ settings: ListenerSettings, row: Int, at now: Instant) -> Bool {
        let isMoved = peer.withLock { peer in
            guard limiter.move(settings, from: peer, to: address) else { return false }
            peer = address
            return true
        }
        if !isMoved { limiter.refused(settings, address, .connectionsPerAddress, row: row, at: now) }
        return isMoved
    }
}

/// Connections that a listener takes; `Int.max`: any number.
struct ConnectionLimits: Sendable {
    var connections = Int.max
    var connectionsPerAddress = Int.max
    /// New ones per second; `nil`: any.
    var connectionRate: Int?
    /// On which HTTP/2 has not begun, for each worker.
    var pendingHandshakes = Int.max
}

/// The limit that a connection did not fit into.
enum ConnectionLimit: Int, CaseIterable, Sendable, CustomStringConvertible {
    case connections, connectionsPerAddress, pendingHandshakes
    /// Those of the whole process (`overload`).
    case memory, descriptors

    /// The setting's name.
    var description: String {
        switch self {
        case .connections: "connections"
        case .connectionsPerAddress: "connections_per_address"
        case .memory: "memory"
        case .descriptors: "descriptors"
        case .pendingHandshakes: "pending_handshakes"
        }
    }
}
