import CMoongate
import Glibc
import MoongateConfig

/// What a request costs in a worker: clients and servers that do the same in the same order every time, on the worker's own
/// thread, so that nothing depends on how threads and sockets happen to meet. For `scripts/bench/instructions`.
///
/// Several workers, one after the other: where fields and users lie in hash tables is a matter of seeds, and one worker may be
/// lucky. A worker's turns run within `mg_counted`, once it is to be counted; the peers' part does not.
package final class RequestCost {
    /// Of one round.
    package static let requests = clients * streams
    fileprivate static let clients = 8
    fileprivate static let streams = 16

    private let configuration: AbsolutePath
    private let listener: Int32

    /// - Parameters:
    ///   - configuration: the path of a configuration whose upstream is `127.0.0.1:port`.
    ///   - port: where the requests arrive.
    package init(configuration: String, port: UInt16) throws {
        guard let address = SocketAddress(host: "127.0.0.1", port: port) else { throw SpecFault("no address") }
        guard let path = AbsolutePath(configuration) else { throw SystemError("read \(configuration)", code: ENOENT) }
        self.configuration = path
        listener = try Socket.listen(on: address)
    }

    deinit { Socket.close(listener) }

    /// Plays rounds with so many workers: in each round all clients send all their requests, then the servers answer all of
    /// them.
    ///
    /// - Throws: when a request gets no answer, or another one than the server's.
    package func play(workers: Int, warmUp: Int, rounds: Int) throws {
        for _ in 0..<workers {
            let run = try RequestRun(configuration, listener)
            try run.play(rounds: warmUp, counted: false)
            try run.play(rounds: rounds, counted: true)
        }
    }
}

/// One worker with its clients and servers.
private final class RequestRun {
    private let edge: InlineEdge
    private let listener: Int32
    private var clients: [ScriptedClient] = []
    private var servers: [ScriptedServer] = []
    private var isCounted = false

    init(_ configuration: AbsolutePath, _ listener: Int32) throws {
        self.listener = listener
        edge = try InlineEdge(configuration: configuration, scriptsTakeTurns: false)
        for _ in 0..<RequestCost.clients { clients.append(try ScriptedClient(try edge.connect().client)) }
        // All are there before the first request.
        for _ in 0..<4 { turn(limit: 0) }
        for index in clients.indices { try clients[index].receive() }
    }

    func play(rounds: Int, counted: Bool) throws {
        isCounted = counted
        for _ in 0..<rounds {
            for index in clients.indices { try clients[index].request(RequestCost.streams) }
            try until("a request arrives at no server") {
                try accept()
                return servers.reduce(0) { $0 + $1.pending } == RequestCost.requests
            }
            let wanted = answers + RequestCost.requests
            for index in servers.indices { try servers[index].answer() }
            try until("a request has no answer") {
                for index in clients.indices { try clients[index].receive() }
                return answers == wanted
            }
        }
        isCounted = false
    }

    private var answers: Int { clients.reduce(0) { $0 + $1.answers } }

    private func until(_ fault: String, _ isDone: () throws -> Bool) throws {
        for _ in 0..<1000 {
            turn(limit: 10)
            if try isDone() { return }
        }
        throw SpecFault(fault)
    }

    private func accept() throws {
        while let accepted = try Socket.accept(listener) {
            Socket.setNoDelay(accepted.fd)
            servers.append(try ScriptedServer(accepted.fd))
        }
        for index in servers.indices { try servers[index].receive() }
    }

    private func turn(limit: Int) {
        guard isCounted else { return edge.loop.turn(limit: limit) }
        mg_counted(
            { context in
                guard let context else { return }
                Unmanaged<EventLoop>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.turn(limit: 10) }
            }, Unmanaged.passUnretained(edge.loop).toOpaque())
    }
}
