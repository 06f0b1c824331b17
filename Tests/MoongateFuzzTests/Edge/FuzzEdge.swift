import Foundation
import Glibc
import Logging
import MoongateConfig

@testable import Moongate

/// A worker with its connections, policies and upstreams on the calling thread, which turns its loop: what a fuzzer can
/// repeat. Clients come over socket pairs, upstreams are listening sockets on the loopback interface.
final class FuzzEdge {
    /// One for each use in a row, so that an upstream that failed has time to be tried again.
    static let upstreams = 64

    let loop: EventLoop
    private let worker: Worker
    private let listener: ListenerSettings
    private let census: ConnectionCensus
    private let counters: MetricsRegistry.Entry
    private let backends: [(listener: Int32, port: UInt16)]
    /// Kept: others hold only parts of them.
    private let keep: [AnyObject]

    init() throws {
        ProcessSignals.takeOver()
        var backends: [(listener: Int32, port: UInt16)] = []
        for _ in 0..<FuzzEdge.upstreams {
            guard let any = SocketAddress(host: "127.0.0.1", port: 0) else {
                throw Violation(description: "no address")
            }
            let socket = try Socket.listen(on: any)
            backends.append((socket, Socket.localAddress(socket)?.port ?? 0))
        }
        self.backends = backends
        let folder = FileManager.default.temporaryDirectory.path + "/moongate-fuzz-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/moongate.yaml"
        try FuzzEdge.configuration(backends.map(\.port)).write(toFile: path, atomically: true, encoding: .utf8)
        let silent = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
        let parts = ServerPlan.Parts(
            path: path, ticketKeys: TicketKeys(), logger: { _ in silent }, verifier: nil, workshop: nil)
        let plan = try FileSnapshot.consistent { try ServerPlan(parts, $0) }.result.get()
        guard let listener = plan.candidate.listeners.first else { throw Violation(description: "no listener") }
        self.listener = listener
        let accessLog = try AccessLog(metrics: plan.registry)
        let resolver = try Resolver(
            DNSSettings(plan.candidate.generation.config.dns),
            journal: NameJournal(plan.registry.process, log: silent))
        loop = try EventLoop(copies: plan.registry.copies)
        worker = try Worker(
            WorkerPlan(
                index: 0, generation: plan.candidate.generation, registry: plan.registry, accessLog: accessLog,
                resolver: resolver, distributor: ConnectionDistributor(workers: 1) { _, _ in },
                policies: plan.candidate.policyHosts.first, log: silent),
            loop: loop)
        census = ConnectionCensus(registry: plan.registry, logger: silent)
        counters = plan.registry.listeners.entry(listener.name)
        keep = [accessLog, resolver]
    }

    /// Routes choose the upstream by the path: `/u7/…`. Those of `/b…` have policies that read bodies.
    private static func configuration(_ ports: [UInt16]) -> String {
        let upstreams = ports.enumerated().map { "  u\($0): {endpoints: [\"127.0.0.1:\($1)\"]}\n" }.joined()
        let routes = ports.indices.map { index in
            """
              - {name: b\(index), match: {path_prefix: /b\(index)/}, policies: [{name: bodies\(index), lua: *bodies}], upstream: u\(index), timeout: 10s}
              - {name: u\(index), match: {path_prefix: /u\(index)/}, upstream: u\(index), timeout: 10s, retry: {on: [unavailable, reset]}}

            """
        }.joined()
        return """
            workers: 1
            listeners:
              - name: front
                address: 127.0.0.1:1
                forwarded: {trusted_hops: 1, forwarded: set}
                request_id: keep
                limits: {request_buffer: 64KiB, response_buffer: 64KiB}
                policies:
                  - {name: heads, lua: \(quoted(FuzzPolicies.heads))}
                  - {name: unused, lua: &bodies \(quoted(FuzzPolicies.bodies))}
            policies: {time_limit: 5s}
            upstreams:
            \(upstreams)
            routes:
            \(routes)
            """
    }

    private static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n") + "\""
    }

    // MARK: Peers

    /// A client's end of a new connection.
    func connectClient() throws -> FuzzPeer {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0,
            let address = SocketAddress(host: "127.0.0.1", port: 4711)
        else { throw Violation(description: "no sockets") }
        guard case .ticket(let ticket) = census.admit(listener, address) else {
            throw Violation(description: "connections are counted that have ended")
        }
        worker.accept(
            AcceptedConnection(descriptor: ends[0], remote: address, local: address, listener: listener, ticket: ticket)
        )
        return FuzzPeer(descriptor: ends[1])
    }

    /// A connection that the edge has made to an upstream, if there is one.
    func acceptUpstream(_ number: Int) -> FuzzPeer? {
        guard let accepted = try? Socket.accept(backends[number].listener) else { return nil }
        return FuzzPeer(descriptor: accepted.fd)
    }

    /// Lets the edge do what there is to do.
    func turn(_ times: Int = 1) { for _ in 0..<times { loop.turn(limit: 0) } }

    // MARK: Afterwards

    /// All clients have left: nothing may be left of them.
    func checkIdle() throws {
        for _ in 0..<50 where openConnections > 0 || openStreams > 0 { loop.turn(limit: 1) }
        try Violation.check(openConnections == 0, "\(openConnections) connections are open that have no client")
        try Violation.check(openStreams == 0, "\(openStreams) streams are open that have no connection")
    }

    private var openConnections: UInt64 { ListenerCells(row: counters.block.row(0)).openConnections.value }
    private var openStreams: UInt64 { ListenerCells(row: counters.block.row(0)).openStreams.value }
}

/// What reads requests in every way that policies can.
enum FuzzPolicies {
    static let heads = """
        function on_request(handle)
          local headers = handle:headers()
          for name, value in pairs(headers) do local _ = #name + #value end
          handle:cookie("a") handle:query("a") handle:basicAuth() handle:bearer() handle:grpcMetadata("x-data-bin")
          handle:grpcMethod() handle:remoteAddress() handle:path()
          local text = headers:get("x-text")
          if text then
            pcall(moon.json.decode, text) pcall(moon.url.parse, text) pcall(moon.url.query, text)
            pcall(moon.url.unescape, text) pcall(moon.network, text) pcall(handle.base64Decode, handle, text)
            pcall(string.find, text, text) pcall(string.gsub, text, "(%w+)", "%1")
            pcall(headers.replace, headers, "x-copy", text) pcall(headers.add, headers, text, text)
            pcall(headers.remove, headers, text)
          end
        end
        function on_response(handle)
          for name, value in pairs(handle:headers()) do local _ = #name + #value end
          handle:headers():replace("x-status", handle:headers():get(":status") or "none")
        end
        function on_log(handle) handle:status() handle:grpcStatus() handle:responseTrailers() end
        """
    static let bodies = """
        function on_request(handle)
          if handle:headers():get("x-whole") then
            local body = handle:body()
            if body and body:length() > 3 then body:setBytes(body:getBytes(0, 3)) end
          elseif handle:headers():get("x-chunks") then
            for chunk in handle:bodyChunks() do chunk:setBytes(chunk:getBytes(0, chunk:length()) .. "x") end
          end
          handle:trailers()
        end
        function on_grpc_message(handle, message)
          if message:length() > 5 then message:set(message:bytes():reverse()) elseif message:length() == 1 then message:drop() end
        end
        """
}
