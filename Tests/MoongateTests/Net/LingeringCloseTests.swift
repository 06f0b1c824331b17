import COpenSSL
import Glibc
import MoongateConfig
import Testing

@testable import Moongate

@Suite struct LingeringCloseTests {
    /// A connection that lingers, and its peer.
    private final class Scene {
        let loop: EventLoop
        let peer: Int32
        private(set) var ends = 0
        private var lingering: LingeringClose?

        init(rest: [UInt8] = [], _ limits: LingerSchedule.Limits = .response) throws {
            loop = try EventLoop()
            let (near, far) = try socketPair()
            peer = far
            var pending = PendingBytes()
            rest.withBytes { pending.append($0) }
            let leaving = LeavingTransport(transport: Transport(plain: near), rest: pending, limits: limits)
            lingering = LingeringClose(leaving, loop: loop) { [weak self] in self?.ends += 1 }
            lingering?.begin()
        }

        func turn(_ times: Int = 1) { for _ in 0..<times { loop.turn(limit: 0) } }

        /// Turns until it is over.
        /// - Returns: after how many seconds.
        func wait() -> Double {
            let began = Clock.now()
            while ends == 0, Clock.now() - began < 10_000_000_000 { loop.turn(limit: 50) }
            return Double(Clock.now() - began) / 1e9
        }

        func end() { lingering?.end() }

        /// What has come, up to the end; `nil`: there is none.
        func readAll() -> [UInt8]? {
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = read(peer, &buffer, buffer.count)
                if count == 0 { return all }
                guard count > 0 else { return nil }
                all += buffer[..<count]
            }
        }

        deinit {
            lingering?.end()
            close(peer)
        }
    }

    @Test func thePeerSeesTheEndAtOnce() throws {
        let scene = try Scene()
        #expect(scene.readAll() == [] && scene.ends == 0)
    }

    @Test func aPeerThatClosesEndsIt() throws {
        let scene = try Scene()
        scene.turn(3)
        #expect(scene.ends == 0)
        _ = shutdown(scene.peer, Int32(SHUT_WR))
        #expect(scene.wait() < 0.5 && scene.ends == 1)
        scene.end()
        #expect(scene.ends == 1, "it ends once")
    }

    @Test func aPeerThatStaysHasASecond() throws {
        let waited = try Scene().wait()
        #expect(waited > 0.9 && waited < 2, "\(waited)")
    }

    @Test func whatTheKernelDidNotTakeIsWrittenFirst() throws {
        let rest = (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let scene = try Scene(rest: rest)
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            // It talks meanwhile.
            _ = write(scene.peer, "still here", 10)
            let count = read(scene.peer, &buffer, buffer.count)
            if count == 0 { break }
            if count > 0 { received += buffer[..<count] } else { scene.turn() }
            try #require(scene.ends == 0)
        }
        #expect(received == rest)
    }

    @Test func aTurnReadsAShareOfWhatKeepsComing() throws {
        let scene = try Scene()
        _ = sendAll(scene)
        var sent = 0
        for _ in 0..<50 {
            scene.turn()
            sent += sendAll(scene)
        }
        // The kernel takes and gives whole buffers.
        #expect(scene.ends == 0 && sent > 0 && sent <= 50 * 16 * 1024 + 128 * 1024, "\(sent)")
    }

    @Test func aPeerThatNeverStopsIsGoneInTime() throws {
        let scene = try Scene(.farewell)
        let began = Clock.now()
        while scene.ends == 0, Clock.now() - began < 5_000_000_000 {
            _ = sendAll(scene)
            scene.turn()
        }
        #expect(scene.ends == 1 && Clock.now() - began < 2_000_000_000)
    }

    /// Sends until the kernel takes no more.
    /// - Returns: how many octets it took.
    private func sendAll(_ scene: Scene) -> Int {
        let chunk = [UInt8](repeating: 1, count: 1 << 16)
        var total = 0
        while true {
            let count = chunk.withUnsafeBytes { send(scene.peer, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return total }
            total += count
        }
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func TLSSaysThatThisWasAll(version: Int32) throws {
        let certificates = try TestCertificates.shared.get()
        let context = try TLSServerContext(
            listener: "main",
            config: .init(certificates: [certificates.config("ec")], parameters: .init(minimumVersion: .v1_2)),
            ticketKeys: TicketKeys(), contents: TestCertificates.read)
        let pair = try TLSPair(context, .init(serverName: "ec.example", maximumVersion: version))
        let loop = try EventLoop()
        let rest = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        var pending = PendingBytes()
        rest.withBytes { pending.append($0) }
        var ends = 0
        let lingering = LingeringClose(
            LeavingTransport(transport: pair.server, rest: pending, limits: .response), loop: loop
        ) { ends += 1 }
        lingering.begin()
        var received: [UInt8] = []
        while received.count < rest.count, ends == 0 {
            let part = pair.client.read()
            if part.isEmpty { loop.turn(limit: 10) } else { received += part }
        }
        #expect(received == rest)
        loop.turn(limit: 0)
        #expect(pair.client.read().isEmpty && SSL_get_shutdown(pair.client.ssl) & SSL_RECEIVED_SHUTDOWN != 0)
        lingering.end()
        #expect(ends == 1)
    }
}
