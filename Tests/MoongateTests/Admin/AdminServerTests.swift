import Glibc
import Testing

@testable import Moongate

@Suite struct AdminServerTests {
    /// A server on a free port that ends with the test, and what it says.
    private final class Fixture: Sendable {
        let server: AdminServer
        private let box: Box

        private final class Box: Sendable {
            let readiness = Locked(Readiness.ready)
            let metrics = Locked([UInt8]("m 1\n".utf8))
            let isStale = Locked(false)
        }

        init(limits: AdminServer.Limits = .init()) throws {
            let box = Box()
            self.box = box
            let endpoints = AdminEndpoints(
                metrics: { box.metrics.withLock { $0 } }, readiness: { box.readiness.withLock { $0 } },
                isStale: { box.isStale.withLock { $0 } })
            let address = try #require(SocketAddress("127.0.0.1:0"))
            server = try AdminServer(address: address, endpoints: endpoints, limits: limits)
            try server.start()
        }

        deinit { server.stop() }

        func set(_ value: Readiness) { box.readiness.withLock { $0 = value } }
        func set(isStale: Bool) { box.isStale.withLock { $0 = isStale } }
        func set(metrics: [UInt8]) { box.metrics.withLock { $0 = metrics } }

        func connect() throws -> Client { try Client(server.address) }
    }

    /// A blocking client with a time limit per read.
    private final class Client {
        let file: Int32

        init(_ address: SocketAddress) throws {
            file = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var limit = timeval(tv_sec: 5, tv_usec: 0)
            setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            let status = address.withSystemAddress { Glibc.connect(file, $0, $1) }
            try #require(status == 0)
        }

        deinit { close(file) }

        func send(_ text: String) {
            text.withBytes { _ = Glibc.send(file, $0.base, $0.count, Int32(MSG_NOSIGNAL)) }
        }

        /// Everything until the server closes; `nil` when it does not within five seconds.
        func readToEnd() -> String? {
            var text: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(file, &chunk, chunk.count)
                if count < 0 { return errno == ECONNRESET ? String(decoding: text, as: UTF8.self) : nil }
                if count == 0 { return String(decoding: text, as: UTF8.self) }
                text += chunk[..<count]
            }
        }

        /// One answer with its body, by its content-length.
        func readAnswer() -> String {
            var text = ""
            var chunk = [UInt8](repeating: 0, count: 1)
            var expected: Int?
            while expected.map({ text.utf8.count < $0 }) ?? true {
                guard read(file, &chunk, 1) == 1 else { return text }
                text += String(decoding: chunk, as: UTF8.self)
                guard expected == nil, text.hasSuffix("\r\n\r\n") else { continue }
                let field = text.split(separator: "\r\n").first { $0.hasPrefix("content-length: ") }
                expected = text.utf8.count + (field.flatMap { Int($0.dropFirst(16)) } ?? 0)
            }
            return text
        }
    }

    private func get(_ path: String) -> String { "GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n" }

    @Test func metricsComeInPrometheusFormat() throws {
        let fixture = try Fixture()
        let client = try fixture.connect()
        client.send(get("/metrics"))
        let answer = client.readAnswer()
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\ndate: "))
        #expect(answer.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(answer.hasSuffix("\r\n\r\nm 1\n"))
    }

    @Test func readyFailsWhileStartingAndDrainingAndLiveDoesNot() throws {
        let fixture = try Fixture()
        let client = try fixture.connect()
        for (readiness, status) in [(Readiness.ready, "200"), (.starting, "503"), (.draining, "503")] {
            fixture.set(readiness)
            client.send(get("/ready"))
            #expect(client.readAnswer().hasPrefix("HTTP/1.1 \(status) "))
            client.send(get("/live"))
            #expect(client.readAnswer().hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test func readyIsStrictIfAskedToBe() throws {
        let fixture = try Fixture()
        let client = try fixture.connect()
        for (isStale, path, status) in [
            (false, "/ready?strict", "200"), (true, "/ready?strict", "503"), (true, "/ready?x=1&strict=true", "503"),
            (true, "/ready", "200"), (true, "/ready?strict=0", "200"), (true, "/ready?strictly", "200"),
        ] {
            fixture.set(isStale: isStale)
            client.send(get(path))
            let answer = client.readAnswer()
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(path)")
            #expect(answer.contains("stale") == (status == "503"), "\(path)")
        }
    }

    @Test func requestsInOnePieceAreAnsweredInOrder() throws {
        let fixture = try Fixture()
        let client = try fixture.connect()
        client.send(get("/live") + get("/nowhere") + get("/ready"))
        #expect(client.readAnswer().hasSuffix("live\n"))
        #expect(client.readAnswer().hasPrefix("HTTP/1.1 404 Not Found\r\n"))
        #expect(client.readAnswer().hasSuffix("ready\n"))
    }

    @Test func headHasTheLengthAndNoBody() throws {
        let fixture = try Fixture()
        let client = try fixture.connect()
        client.send("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let answer = try #require(client.readToEnd())
        #expect(answer.contains("\r\ncontent-length: 4\r\n"))
        #expect(answer.hasSuffix("\r\n\r\n"))
    }

    @Test(arguments: [
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"), ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nX: " + String(repeating: "x", count: 9000), "431"), ("\u{16}\u{3}\u{1}\r\n\r\n", "400"),
    ])
    func refusalsCloseTheConnection(_ request: String, _ status: String) throws {
        let fixture = try Fixture()
        let client = try fixture.connect()
        client.send(request)
        let answer = try #require(client.readToEnd())
        #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
        #expect(answer.contains("\r\nconnection: close\r\n"))
        #expect(answer.contains("\r\nallow: GET, HEAD\r\n") == (status == "405"))
    }

    @Test func slowHeadIsEndedByTheClock() throws {
        var limits = AdminServer.Limits()
        limits.timeouts.head = 150
        let fixture = try Fixture(limits: limits)
        let client = try fixture.connect()
        let began = Clock.now()
        // A byte now and then does not buy time.
        for byte in "GET /li" {
            client.send(String(byte))
            usleep(30_000)
        }
        let answer = try #require(client.readToEnd())
        #expect(answer.hasPrefix("HTTP/1.1 408 "))
        #expect(Clock.now() - began < 3_000_000_000)
    }

    @Test func idleConnectionIsClosed() throws {
        var limits = AdminServer.Limits()
        limits.timeouts.idle = 100
        let fixture = try Fixture(limits: limits)
        let client = try fixture.connect()
        #expect(client.readToEnd() == "")
    }

    @Test func manyIdleConnectionsDoNotShutOutAProbe() throws {
        var limits = AdminServer.Limits()
        limits.connections = 4
        let fixture = try Fixture(limits: limits)
        let idle = try (0..<10).map { _ in try fixture.connect() }
        let probe = try fixture.connect()
        probe.send(get("/live"))
        #expect(probe.readAnswer().hasSuffix("live\n"))
        withExtendedLifetime(idle) {}
    }

    @Test func largeAnswerReachesASlowReader() throws {
        let fixture = try Fixture()
        let body = [UInt8](repeating: UInt8(ascii: "x"), count: 8 << 20)
        fixture.set(metrics: body)
        let client = try fixture.connect()
        client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        usleep(100_000)
        let other = try fixture.connect()
        other.send(get("/live"))
        #expect(other.readAnswer().hasSuffix("live\n"))
        let answer = try #require(client.readToEnd())
        #expect(answer.utf8.count > body.count && answer.hasSuffix("xxxx"))
    }

    @Test func takenAddressIsAnErrorBeforeAnythingServes() throws {
        let fixture = try Fixture()
        let endpoints = AdminEndpoints(metrics: { [] }, readiness: { .ready })
        #expect(throws: IOFailure.self) {
            try AdminServer(address: fixture.server.address, endpoints: endpoints)
        }
    }
}
