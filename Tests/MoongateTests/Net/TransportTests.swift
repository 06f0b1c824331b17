import Glibc
import Testing

@testable import Moongate

struct TransportTests {
    @Test func plainBytesArriveAndTheEndIsSeen() throws {
        let (near, far) = try socketPair()
        var transport = Transport(plain: near)
        var peer = Transport(plain: far)
        defer { peer.close() }
        #expect(transport.read() == .wouldBlockRead)
        #expect(peer.write(Bytes("hello")) == .bytes(5))
        #expect(transport.readText() == "hello")
        #expect(transport.handshake() == .finished)
        #expect(!transport.isTLS && !transport.hasPendingInput)

        peer.shutdown()
        #expect(transport.read() == .closed)
        #expect(transport.write(Bytes("late")) == .bytes(4))
        #expect(peer.readText() == "late")
        transport.close()
        #expect(transport.fd == -1)
    }

    @Test func writeToADeadPeerFailsWithoutASignal() throws {
        let (near, far) = try socketPair()
        var transport = Transport(plain: near)
        defer { transport.close() }
        close(far)
        #expect(transport.write(Bytes("x")) == .failed(IOFailure(.write, .system(EPIPE))))
    }

    @Test func fullSocketSaysSo() throws {
        let (near, far) = try socketPair()
        defer { close(far) }
        var transport = Transport(plain: near)
        defer { transport.close() }
        let chunk = [UInt8](repeating: 7, count: 1 << 20)
        let results = chunk.withUnsafeBufferPointer { buffer in
            (0..<64).map { _ in transport.write(Bytes(buffer.baseAddress.unsafelyUnwrapped, buffer.count)) }
        }
        #expect(results.last == .wouldBlockWrite)
    }
}

extension Transport {
    /// Reads up to 64 KiB and drops them.
    func read() -> IOResult {
        withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 1) { read(into: $0) }
    }

    /// Reads up to 64 KiB; `nil` if there is nothing.
    func readText() -> String? {
        withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 1) { buffer in
            guard case .bytes(let count) = read(into: buffer) else { return nil }
            return String(decoding: buffer[..<count], as: UTF8.self)
        }
    }
}
