import Foundation
import Glibc
import MoongateConfig

@testable import Moongate

/// The edge that whole-connection targets play with: a worker on the calling thread, which turns its loop, so that a fuzzer
/// can repeat what it did. Clients come over socket pairs, upstreams are sockets on the loopback interface.
final class FuzzEdge {
    /// Each has servers of its own. Inputs use one after the other, and time is skipped in between, so that a server that has
    /// failed is tried again. The first ones are those of worlds.
    static let slots = 2 * worlds
    static let worlds = 4

    let names = FuzzNames()
    let inline: InlineEdge
    private let sockets: FuzzSockets
    private let folder: String
    /// Which files are in force.
    private var variation = FuzzConfiguration.Variation()

    init() throws {
        sockets = try FuzzSockets(FuzzEdge.slots)
        folder =
            FileManager.default.temporaryDirectory.path + "/moongate-fuzz-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        guard let path = AbsolutePath(folder + "/moongate.yaml") else { throw POSIXError(.ENOENT) }
        try FuzzConfiguration.text(sockets, variation).write(toFile: path.text, atomically: true, encoding: .utf8)
        inline = try InlineEdge(configuration: path, names: names)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    // MARK: Peers

    /// A client's end of a new connection.
    func connectClient() throws -> FuzzPeer { FuzzPeer(descriptor: try inline.connect().client) }

    /// A connection that the edge has made to an upstream, if there is one.
    func acceptUpstream(_ slot: Int) -> FuzzPeer? {
        guard let accepted = try? Socket.accept(sockets.backends[slot].listener) else { return nil }
        return FuzzPeer(descriptor: accepted.fd)
    }

    /// Ends the connections to the server that never says a word.
    func closeMute() { sockets.closeMute() }

    // MARK: What happens

    /// Lets the edge do what there is to do.
    func turn(_ times: Int = 1) { for _ in 0..<times { inline.loop.turn(limit: 0) } }

    /// Lets time pass, and the edge do what is due then.
    func skip(milliseconds: UInt64) {
        inline.loop.skip(nanoseconds: milliseconds * 1_000_000)
        turn()
    }

    /// As at the beginning: what an input leads to depends on nothing before it.
    func reset() throws {
        if variation != [] { try reload([]) }
        skip(milliseconds: 15_000)
    }

    /// Another configuration is in force from now on.
    func reload(_ next: FuzzConfiguration.Variation) throws {
        variation = next
        let text = FuzzConfiguration.text(sockets, next)
        try text.write(toFile: folder + "/moongate.yaml", atomically: true, encoding: .utf8)
        try inline.reload()
    }

    // MARK: Afterwards

    /// All clients and servers have left: nothing may be left of them.
    func checkIdle() throws {
        for _ in 0..<50 where openConnections > 0 || openStreams > 0 { inline.loop.turn(limit: 1) }
        try Violation.check(openConnections == 0, "\(openConnections) connections are open that have no client")
        try Violation.check(openStreams == 0, "\(openStreams) streams are open that have no connection")
    }

    /// The same for everything that may last longer than its client, such as copies for mirrors, whose time is let pass.
    func checkNothingIsLeft() throws {
        // Copies are waited for for 30 s. A timer of a policy may begin a further call any time: one look without anything is enough.
        var left = leftovers
        for _ in 0..<45 where !left.isEmpty {
            skip(milliseconds: 1000)
            left = leftovers
        }
        try Violation.check(left.isEmpty, "left when everybody has gone: \(left.joined(separator: ", "))")
    }

    private var leftovers: [String] {
        var list: [(String, Int)] = [
            ("client connections", Int(openConnections)), ("client streams", Int(openStreams)),
            ("exchanges", inline.worker.underWay.exchanges), ("calls", inline.worker.underWay.calls),
            ("generations", inline.replacedGenerations),
        ]
        for upstream in inline.registry.sharedUpstreams.living() {
            let cells = UpstreamCells(row: upstream.metrics.block.row(0))
            list += [
                ("streams to \(upstream.name)", Int(truncatingIfNeeded: cells.openStreams.value)),
                ("requests that wait for \(upstream.name)", upstream.pending.value),
                ("permits for requests to \(upstream.name)", upstream.requests.value),
                ("permits for retries to \(upstream.name)", upstream.activeRetries),
            ]
        }
        return list.filter { $0.1 != 0 }.map { "\($0.1) \($0.0)" }
    }

    private var openConnections: UInt64 { total(ListenerCells.Column.openConnections) }
    private var openStreams: UInt64 { total(ListenerCells.Column.openStreams) }

    private func total(_ column: Int) -> UInt64 {
        FuzzConfiguration.listeners.reduce(0) { $0 &+ inline.registry.listeners.entry($1).block.total(column) }
    }
}
