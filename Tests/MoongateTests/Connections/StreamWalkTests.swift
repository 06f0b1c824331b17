import Glibc
import Testing

@testable import Moongate

/// Delegates that end other streams, and the connection, while the streams of a connection are told something.
@Suite struct StreamWalkTests {
    /// Streams in memory of their own, which is gone when they are: AddressSanitizer sees who still looks.
    private final class Owners: StreamDelegate {
        var streams: [StreamOwner: Stream] = [:]
        var closed: [Int32] = []
        /// Called for each stream that is closed, once it is.
        var whenClosed: ((Int32) -> Void)?

        func make() -> Stream {
            let stream = Stream.allocate(StreamRecord())
            let owner = StreamOwner(stream.pointer)
            stream.owner = owner
            stream.delegate = Unmanaged.passUnretained(self)
            streams[owner] = stream
            return stream
        }

        override func streamClosed(_ owner: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {
            guard let stream = streams.removeValue(forKey: owner) else { return }
            let id = stream.id
            closed.append(id)
            stream.free()
            whenClosed?(id)
        }
    }

    /// A connection to a server, with as many streams open.
    private final class Client {
        let loop: EventLoop
        let owners = Owners()
        let connection: Connection
        let server: Int32

        init(streams: Int, hasBody: Bool = false) throws {
            loop = try EventLoop()
            let (near, far) = try socketPair()
            server = far
            connection = Connection(
                ConnectionIO(
                    loop: loop, shared: ConnectionShared(), transport: Transport(plain: near),
                    settings: EngineSettings(side: .client, maxHeaderBytes: 65536)))
            connection.io.begin()
            send([0, 0, 0, 4, 0, 0, 0, 0, 0])
            let head = HeaderList()
            head.add(":method", "POST")
            head.add(":scheme", "http")
            head.add(":path", "/")
            var opened = 0
            for _ in 0..<streams {
                if case .sent = connection.engine.submitRequest(owners.make(), head, hasBody: hasBody) { opened += 1 }
            }
            #expect(opened == streams)
            head.destroy()
            loop.turn(limit: 0)
        }

        func send(_ bytes: [UInt8]) {
            #expect(bytes.withBytes { Transport(plain: server).write($0) } == .bytes(bytes.count))
        }

        /// Ends a stream now, as a frame of the server would.
        func end(_ stream: Stream) {
            if case .http2(let engine) = connection.engine {
                engine._withUnsafeGuaranteedRef { $0.finish(stream, .cancelled) }
            }
        }

        /// Streams above `last` were not looked at.
        func sendGoAway(last: UInt8) { send([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0]) }

        deinit {
            connection.close(.local)
            close(server)
        }
    }

    @Test func goAwayEndsStreamsWhoseDelegatesEndTheConnection() throws {
        let client = try Client(streams: 20)
        client.owners.whenClosed = { [unowned client] _ in client.connection.close(.local) }  // a test's own object
        client.sendGoAway(last: 5)
        client.loop.turn(limit: 0)
        #expect(client.owners.closed.count == 20 && client.owners.streams.isEmpty)
        #expect(client.connection.isClosed)
    }

    @Test func goAwayEndsTheStreamsAboveItsNumber() throws {
        let client = try Client(streams: 10)
        client.sendGoAway(last: 9)
        client.loop.turn(limit: 0)
        #expect(client.owners.closed.sorted() == [11, 13, 15, 17, 19])
    }

    @Test func aWalkLeavesOutWhatHasEndedMeanwhile() throws {
        let client = try Client(streams: 10)
        var seen: [Int32] = []
        client.connection.io.forEachStream { stream in
            seen.append(stream.id)
            // Ends the next ones, too.
            for id in [Int32(1), 3, 5, stream.id] {
                if let other = client.connection.io.streams[id] { client.end(other) }
            }
        }
        #expect(seen.count == 7 && Set(client.owners.closed) == Set(seen).union([1, 3, 5]))
    }

    /// The kernel takes nothing, many streams wait for it, and the end of one resets others among them.
    @Test func streamsThatEndWhileOthersWaitForTheKernelEndOnce() throws {
        let client = try Client(streams: 12, hasBody: true)
        let connection = client.connection
        // Fills the socket, so that streams wait.
        let filler = [UInt8](repeating: 0, count: 16 << 20)
        _ = filler.withBytes { connection.io.send($0) }
        var reset: [Int32] = []
        client.owners.whenClosed = { [unowned client] id in  // a test's own object
            for other in [id + 2, id + 4] where reset.count < 10 {
                guard let stream = client.connection.io.streams[other] else { continue }
                reset.append(other)
                stream.resume()
                stream.reset(.cancelled)
            }
        }
        client.connection.io.forEachStream { $0.resume() }
        connection.io.streams[1]?.reset(.cancelled)
        for _ in 0..<5 { client.loop.turn(limit: 0) }
        #expect(connection.engine.hasSoundQueues)
        #expect(client.owners.closed.sorted() == [1] + Array(Set(reset)).sorted())
        #expect(Set(client.owners.closed).count == client.owners.closed.count && reset.count >= 6)
    }
}
