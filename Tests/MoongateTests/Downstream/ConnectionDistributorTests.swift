import Logging
import Testing

@testable import Moongate

@Suite struct ConnectionDistributorTests {
    private final class Deliveries: Sendable {
        let list = Locked<[(worker: Int, descriptor: Int32)]>([])
        var workers: [Int] { list.withLock { $0.map(\.worker) } }
    }

    private let deliveries = Deliveries()
    private let distributor: ConnectionDistributor
    private let limiter: ConnectionLimiter

    init() {
        let deliveries = deliveries
        distributor = ConnectionDistributor(workers: 3) { worker, connection in
            deliveries.list.withLock { $0.append((worker, connection.descriptor)) }
        }
        limiter = ConnectionLimiter(
            registry: MetricsRegistry(workers: 3), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func connection(_ number: Int32) throws -> AcceptedConnection {
        let listener = ListenerSettings(
            identity: .of("distributor"), name: "distributor", maxConcurrentStreams: 1, maxHeaderBytes: 1024,
            maxHeaderFields: 64, schedule: .init(), limits: ConnectionLimits(), tls: nil, proxyProtocol: nil,
            forwardClientCertificate: nil)
        let address = try #require(SocketAddress("10.0.0.1:1"))
        guard case .permit(let permit) = limiter.admit(listener, address) else { throw Refused() }
        // No descriptor of anything: nobody uses it.
        return AcceptedConnection(
            descriptor: number, remote: address, local: address, listener: listener, permit: permit)
    }

    private struct Refused: Error {}

    private func distribute(_ count: Int32) throws {
        for number in 0..<count { distributor.distribute(try connection(number)) }
    }

    @Test func theOneWithTheFewestGetsIt() throws {
        try distribute(4)
        #expect(deliveries.workers == [0, 1, 2, 0])
        distributor.connectionEnded(worker: 1)
        try distribute(1)
        #expect(deliveries.workers.last == 1)
    }

    @Test func oneThatHangsIsPassedOver() throws {
        distributor.passOver(true, worker: 0)
        try distribute(4)
        #expect(deliveries.workers == [1, 2, 1, 2])
        distributor.passOver(false, worker: 0)
        try distribute(2)
        #expect(deliveries.workers.suffix(2) == [0, 0])
    }

    @Test func whereAllHangTheFewestDecide() throws {
        for worker in 0..<3 { distributor.passOver(true, worker: worker) }
        try distribute(4)
        #expect(deliveries.workers == [0, 1, 2, 0])
    }

    @Test func connectionsThatWaitForOneThatHangsGoToOthers() throws {
        try distribute(3)
        distributor.passOver(true, worker: 0)
        distributor.distributeAgain([try connection(7), try connection(8)], from: 0)
        #expect(deliveries.workers.suffix(2) == [1, 2])
        #expect(deliveries.list.withLock { $0.suffix(2).map(\.descriptor) } == [7, 8])
    }
}
