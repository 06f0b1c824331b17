import Testing

@testable import Moongate

struct ProxyProtocolHeaderTests {
    private func read(_ bytes: [UInt8]) -> ProxyProtocolHeader.Reading {
        bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return ProxyProtocolHeader.read(.empty) }
            return ProxyProtocolHeader.read(Bytes(base, buffer.count))
        }
    }

    private static let text = Array("PROXY TCP4 10.1.2.3 10.9.9.9 4000 443\r\n".utf8)
    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]
    private static let binary =
        signature + [0x21, 0x11, 0, 15, 10, 1, 2, 3, 10, 9, 9, 9, 15, 160, 1, 187, 4, 0, 0]

    @Test(arguments: [text, binary])
    func everyBeginningIsIncompleteAndTheRestIsLeft(header: [UInt8]) throws {
        for count in 0..<header.count { #expect(read(Array(header[..<count])) == .incomplete, "\(count)") }
        guard case .header(let found, let length) = read(header + Array("PRI".utf8)) else {
            Issue.record("no header")
            return
        }
        #expect(length == header.count)
        #expect(found.source?.description == "10.1.2.3:4000")
        #expect(found.destination?.description == "10.9.9.9:443")
    }

    @Test func otherProtocolsHaveNone() {
        #expect(read(Array("PRI * HTTP/2.0\r\n".utf8)) == .absent)
        #expect(read([0x16, 3, 1]) == .absent)
        #expect(read(Array("PROXZ".utf8)) == .absent)
        #expect(read(Self.signature.dropLast() + [11]) == .absent)
    }

    /// No input reads beyond its end or fails in another way.
    @Test func anyBytesGiveAnAnswer() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var bytes = Bool.random() ? Self.text : Self.binary
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random() { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
            if case .header(_, let length) = read(bytes) { #expect(length <= bytes.count) }
        }
    }

    @Test func lengthIsBounded() {
        #expect(read(Self.signature + [0x21, 0x11, 0xFF, 0xFF]) == .malformed)
        #expect(read(Array("PROXY UNKNOWN ".utf8) + [UInt8](repeating: 65, count: 93)) == .malformed)
    }
}
