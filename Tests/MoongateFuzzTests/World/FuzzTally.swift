import Glibc

@testable import Moongate

/// What random scripts have led to: a world in which something never happens tests nothing of it.
final class FuzzTally {
    enum Event: String, CaseIterable {
        /// Counted by the world.
        case connections, clients, calls, fullClientSockets, fullUpstreamSockets, reloads, aborts
        /// Counted by the edge.
        case hedges, mirrors, mirrorDrops, retries, failedConnects, overflows, policyRuns, timerRuns, nameFailures
    }

    private(set) var counts: [Event: Int] = [:]

    func count(_ event: Event, _ number: Int = 1) { counts[event, default: 0] += number }

    /// Of the edge's own counters, which go on from input to input.
    func read(_ edge: FuzzEdge) {
        let registry = edge.inline.registry
        var numbers: [Event: UInt64] = [:]
        func add(_ event: Event, _ entry: MetricsRegistry.Entry, _ columns: Range<Int>) {
            numbers[event, default: 0] += columns.reduce(0) { $0 + entry.block.total($1) }
        }
        func one(_ column: Int) -> Range<Int> { column..<column + 1 }
        for slot in 0..<FuzzEdge.worlds {
            for (route, event) in [
                ("h", Event.hedges), ("g", .hedges), ("x", .hedges), ("r", .retries), ("q", .retries),
            ] {
                add(event, registry.routes.entry("\(route)\(slot)"), one(RouteCells.Column.retries))
            }
            for route in ["m", "g", "q", "x"] {
                for upstream in ["u", "f", "d"] {
                    let entry = registry.mirror(route: "\(route)\(slot)", upstream: "\(upstream)\(slot)")
                    add(.mirrors, entry, one(MirrorCells.Column.requests))
                    add(.mirrorDrops, entry, MirrorCells.Column.drops..<MirrorCells.Column.status)
                }
            }
            for upstream in ["u", "f", "d", "l"] {
                let entry = registry.upstreams.entry("\(upstream)\(slot)")
                add(.failedConnects, entry, one(UpstreamCells.Column.connectFailures))
                add(.overflows, entry, UpstreamCells.Column.overflows..<UpstreamCells.Column.abuses)
            }
        }
        let calls = registry.policies.entry("calls")
        add(.policyRuns, calls, one(PolicyCells.Column.runs + PolicyHook.onRequest.rawValue))
        add(.timerRuns, calls, one(PolicyCells.Column.runs + PolicyHook.timer.rawValue))
        numbers[.nameFailures] = UInt64(edge.names.failures)
        for (event, number) in numbers { counts[event] = Int(number) }
    }
}

/// Whether the kernel takes bytes for a socket.
enum FuzzSocketState {
    static func isFull(_ descriptor: Int32) -> Bool {
        var state = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&state, 1, 0) == 0
    }

    /// Tells a socket from a later one with the same number; `nil`: there is none.
    static func identity(_ descriptor: Int32) -> UInt64? {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    /// The edge's end of a connection that a server has; `nil`: it is closed.
    static func otherEnd(of descriptor: Int32) -> Int32? {
        guard let wanted = Socket.peerAddress(descriptor) else { return nil }
        return (3..<1024).first { $0 != descriptor && Socket.localAddress($0) == wanted }
    }
}
