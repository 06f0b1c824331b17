import Glibc
import Testing

@testable import Moongate

/// Delegates that end other streams, and the connection, while the streams of a connection are told something.
@Suite struct StreamWalkTests {
    /// Streams in memory of their own, which is gone when they are: AddressSanitizer sees who still looks.
    private final class Owners: StreamDelegate {
        var streams: [UnsafeMutableRawPointer: HTTP2StreamPointer] = [:]
        var closed: [Int32] = []
        /// Called for each stream that is closed, once it is.
        var whenClosed: ((Int32) -> Void)?

        func make() -> HTTP2StreamPointer {
            let stream = HTTP2StreamPointer.allocate(capacity: 1)
            stream.initialize(to: HTTP2Stream())
            stream.pointee.owner = UnsafeMutableRawPointer(stream)
            stream.pointee.delegate = Unmanaged.passUnretained(self)
            streams[UnsafeMutableRawPointer(stream)] = stream
            return stream
        }

        override func streamClosed(_ owner: UnsafeMutableRawPointer, _ code: ErrorCode, _ reason: CloseReason?) {
            guard let stream = streams.removeValue(forKey: owner) else { return }
            let id = stream.pointee.id
            closed.append(id)
            stream.deallocate()
            whenClosed?(id)
        }
    }

    /// A connection to a server, with as many streams open.
    private final class Client {
        let loop: EventLoop
        let owners = Owners()
        let connection: HTTP2Connection
        let server: Int32

        init(streams: Int, hasBody: Bool = false) throws {
            loop = try EventLoop()
            let (near, far) = try socketPair()
            server = far
            connection = HTTP2Connection(
                loop: loop, library: HTTP2SharedState(), acceptor: nil, transport: Transport(plain: near),
                maxHeaderBytes: 65536)
            connection.begin(.client, [(.initialWindowSize, 65535)], window: 65535)
            send([0, 0, 0, 4, 0, 0, 0, 0, 0])
            let head = HeaderList()
            head.add(":method", "POST")
            head.add(":scheme", "http")
            head.add(":path", "/")
            var opened = 0
            for _ in 0..<streams {
                if case .sent = connection.submitRequest(head, hasBody: hasBody, stream: owners.make()) { opened += 1 }
            }
            #expect(opened == streams)
            head.destroy()
            loop.turn(limit: 0)
        }

        func send(_ bytes: [UInt8]) {
            #expect(bytes.withBytes { Transport(plain: server).write($0) } == .bytes(bytes.count))
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
        client.connection.forEachStream { stream in
            seen.append(stream.pointee.id)
            // Ends the next ones, too.
            for id in [Int32(1), 3, 5, stream.pointee.id] {
                if let other = client.connection.streams[id] { client.connection.finish(other, .cancel) }
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
        _ = filler.withBytes { connection.send($0) }
        var reset: [Int32] = []
        client.owners.whenClosed = { [unowned client] id in  // a test's own object
            for other in [id + 2, id + 4] where reset.count < 10 {
                guard let stream = client.connection.streams[other] else { continue }
                reset.append(other)
                client.connection.resume(stream)
                client.connection.reset(stream, .cancel)
            }
        }
        client.connection.forEachStream { connection.resume($0) }
        if let first = connection.streams[1] { connection.reset(first, .cancel) }
        for _ in 0..<5 { client.loop.turn(limit: 0) }
        #expect(connection.hasSoundQueues)
        #expect(client.owners.closed.sorted() == [1] + Array(Set(reset)).sorted())
        #expect(Set(client.owners.closed).count == client.owners.closed.count && reset.count >= 6)
    }
}
