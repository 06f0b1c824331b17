import Testing

@testable import Moongate

@Suite struct GRPCMessageReaderTests {
    private func framed(_ payload: [UInt8], flag: UInt8 = 0) -> [UInt8] {
        [flag] + withUnsafeBytes(of: UInt32(payload.count).bigEndian) { Array($0) } + payload
    }

    private func add(_ bytes: [UInt8], to input: inout PolicyChunks) { bytes.withBytes { input.append($0) } }

    private func payloads(_ reader: inout GRPCMessageReader, _ input: inout PolicyChunks) -> [[UInt8]] {
        var found: [[UInt8]] = []
        while case .message(let message) = reader.next(&input) { found.append(Array(message.payload.buffer)) }
        return found
    }

    @Test func everyCutGivesTheSameMessages() {
        let wanted: [[UInt8]] = [[], [1], [], Array(repeating: 7, count: 300), [9, 9]]
        let stream = wanted.flatMap { framed($0) }
        for first in 0...stream.count {
            for second in stride(from: first, through: stream.count, by: 7) {
                var (reader, input, found) = (GRPCMessageReader(limit: 300), PolicyChunks(), [[UInt8]]())
                for part in [stream[..<first], stream[first..<second], stream[second...]] {
                    add(Array(part), to: &input)
                    found += payloads(&reader, &input)
                }
                #expect(found == wanted, "cut at \(first) and \(second)")
                #expect(reader.isEmpty)
            }
        }
    }

    @Test func oneByteAtATime() {
        var (reader, input, found) = (GRPCMessageReader(limit: 10), PolicyChunks(), [[UInt8]]())
        for byte in framed([1, 2, 3]) + framed([4]) {
            add([byte], to: &input)
            found += payloads(&reader, &input)
        }
        #expect(found == [[1, 2, 3], [4]])
    }

    @Test func manyTinyMessagesInOnePieceCostTheirNumber() {
        let count = 200_000
        var (reader, input) = (GRPCMessageReader(limit: 1), PolicyChunks())
        add(Array(repeating: 0, count: 5 * count), to: &input)
        let clock = ContinuousClock()
        var found = 0
        let time = clock.measure { while case .message = reader.next(&input) { found += 1 } }
        #expect(found == count)
        // Moving the rest for each message would be 100 GB.
        #expect(time < .seconds(10))
    }

    @Test func theLimitIsKnownFromThePrefix() {
        var (reader, input) = (GRPCMessageReader(limit: 3), PolicyChunks())
        add(framed([1, 2, 3]) + [0, 0, 0, 0], to: &input)
        #expect(payloads(&reader, &input) == [[1, 2, 3]])
        guard case .incomplete = reader.next(&input) else {
            Issue.record("the length is not known yet")
            return
        }
        add([4], to: &input)
        guard case .tooLarge = reader.next(&input) else {
            Issue.record("4 bytes are more than 3")
            return
        }
    }

    @Test func aPieceOverTheLimitIsNoMessageEither() {
        var (reader, input) = (GRPCMessageReader(limit: 3), PolicyChunks())
        add(framed([1, 2, 3, 4]), to: &input)
        guard case .tooLarge = reader.next(&input) else {
            Issue.record("4 bytes are more than 3")
            return
        }
    }

    @Test func whatIsHeldGoesOnAsItCame() {
        let stream = framed([1, 2]) + framed([3, 4, 5]) + framed([6])
        for cut in 0...stream.count {
            var (reader, input, rest) = (GRPCMessageReader(limit: 10), PolicyChunks(), [UInt8]())
            add(Array(stream[..<cut]), to: &input)
            if case .message(let message) = reader.next(&input) { rest += message.bytes.buffer }
            if cut % 2 == 0 { _ = reader.next(&input).bytes.map { rest += $0 } }
            reader.giveUp { rest += $0.buffer }
            while let piece = input.removeFirst() { rest += piece.bytes.buffer }
            #expect(rest == Array(stream[..<cut]), "after \(cut) bytes")
            #expect(reader.isEmpty && reader.unread == 0)
        }
    }

    @Test func unreadBytesAreThoseThatNoMessageHas() {
        var (reader, input) = (GRPCMessageReader(limit: 10), PolicyChunks())
        add(framed([1, 2]) + framed([3]) + [0, 0], to: &input)
        _ = reader.next(&input)
        #expect(reader.unread == 8 && !reader.isWithinMessage)
        _ = reader.next(&input)
        #expect(reader.unread == 2)
        _ = reader.next(&input)
        #expect(reader.unread == 0 && reader.isWithinMessage && !reader.isEmpty)
    }

    @Test func messagesAreReadAndReplaced() {
        let message = PolicyBuffer()
        framed([1, 2], flag: 1).withBytes { message.append($0) }
        #expect(message.isCompressed && message.messageLength == 2)
        Array(repeating: UInt8(5), count: 0x1_0203).withBytes { message.setMessage($0) }
        #expect(!message.isCompressed && message.messageLength == 0x1_0203)
        #expect(message.payload.count == 0x1_0203 && message.count == 0x1_0208)
    }
}

extension GRPCMessageReader.Step {
    fileprivate var bytes: [UInt8]? {
        guard case .message(let message) = self else { return nil }
        return Array(message.bytes.buffer)
    }
}
