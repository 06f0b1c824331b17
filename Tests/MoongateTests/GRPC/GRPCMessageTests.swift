import Testing

@testable import Moongate

@Suite struct GRPCMessageTextTests {
    private func encode(_ text: String) -> String {
        text.withBytes { bytes in
            String(unsafeUninitializedCapacity: GRPCMessageText.encodedCount(bytes)) { buffer in
                if let base = buffer.baseAddress { GRPCMessageText.encode(bytes, to: base) }
                return GRPCMessageText.encodedCount(bytes)
            }
        }
    }

    private func decode(_ text: String) -> [UInt8] {
        text.withBytes { bytes in
            [UInt8](unsafeUninitializedCapacity: bytes.count) { buffer, count in
                if let base = buffer.baseAddress { count = GRPCMessageText.decode(bytes, to: base) }
            }
        }
    }

    @Test(arguments: [
        ("", ""), ("plain text!", "plain text!"), ("100%", "100%25"), ("a\nb\tc", "a%0Ab%09c"), ("\"q\" ~", "\"q\" ~"),
        ("é☺", "%C3%A9%E2%98%BA"), ("\u{7f}\u{0}", "%7F%00"),
        (" a b ", "%20a b%20"), (" ", "%20"),
    ])
    func S4MessagesArePercentEncoded(text: String, encoded: String) {
        #expect(encode(text) == encoded)
        #expect(decode(encoded) == Array(text.utf8))
    }

    @Test(arguments: [
        ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%4%41", "%4A"), ("a%e2%98%BAb", "a☺b"), ("%%41", "%A"),
        ("100%", "100%"),
    ])
    func S4DecodingNeverFails(text: String, decoded: String) {
        #expect(decode(text) == Array(decoded.utf8))
    }

    @Test func cutsFallBetweenCharacters() {
        "aé☺".withBytes { bytes in
            let kept = (0...6).map { GRPCMessageText.cut(bytes, to: $0).count }
            #expect(kept == [0, 1, 1, 3, 3, 3, 6])
        }
    }
}

@Suite struct GRPCContentTypeTests {
    @Test(arguments: [
        ("application/grpc", true), ("application/grpc+proto", true), ("application/grpc;x=y", true),
        ("application/grpc+", true), ("Application/GRPC+json", true), ("application/grpc-web", false),
        ("application/grpc-web+proto", false), ("application/grpcx", false), ("application/grp", false), ("", false),
        ("application/json", false), (" application/grpc", false), ("application/grpc ", false),
    ])
    func R2ContentTypeIsTestedExactly(text: String, expected: Bool) {
        text.withBytes { #expect(GRPCContentType.isGRPC($0) == expected) }
    }

    @Test(arguments: [
        ("application/grpc+json", "application/grpc+json"), ("application/grpc+proto; a=b", "application/grpc+proto"),
        ("application/grpc ;a", "application/grpc"), ("text/html", "application/grpc"),
    ])
    func S5AnswersKeepTheSubtype(request: String, answer: String) {
        request.withBytes { #expect(GRPCContentType.answering($0).string == answer) }
        #expect(GRPCContentType.answering(nil).string == "application/grpc")
    }
}

@Suite struct GRPCMessageTrackerTests {
    private func stream(_ lengths: [Int]) -> [UInt8] {
        lengths.flatMap { length in
            [0] + withUnsafeBytes(of: UInt32(length).bigEndian, Array.init) + [UInt8](repeating: 0xFF, count: length)
        }
    }

    private func consume(_ tracker: inout GRPCMessageTracker, _ bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBufferPointer { buffer in
            if let base = buffer.baseAddress { tracker.consume(Bytes(base, buffer.count)) }
        }
    }

    @Test func S10MessagesAreCountedOverAnyChunking() {
        var random = SeededGenerator(state: 11)
        for _ in 0..<200 {
            let lengths = (0..<Int.random(in: 1...20, using: &random)).map { _ in
                Bool.random(using: &random) ? 0 : Int.random(in: 1...300, using: &random)
            }
            let bytes = stream(lengths)
            var tracker = GRPCMessageTracker()
            var rest = bytes[...]
            while !rest.isEmpty {
                let chunk = rest.prefix(Int.random(in: 1...40, using: &random))
                consume(&tracker, chunk)
                rest = rest.dropFirst(chunk.count)
            }
            #expect(tracker.messages == UInt64(lengths.count))
            #expect(tracker.isAtBoundary)
        }
    }

    @Test func X3OnlyTheEndOfAMessageIsABoundary() {
        let bytes = stream([0, 3, 300])
        let ends: Set = [0, 5, 13, 318]
        var tracker = GRPCMessageTracker()
        #expect(tracker.isAtBoundary)
        for position in bytes.indices {
            consume(&tracker, bytes[position...position])
            #expect(tracker.isAtBoundary == ends.contains(position + 1), "\(position)")
        }
    }

    @Test func theLargestLengthIsFollowed() {
        var tracker = GRPCMessageTracker()
        consume(&tracker, [1, 0xFF, 0xFF, 0xFF, 0xFF, 0])
        #expect(!tracker.isAtBoundary)
        #expect(tracker.messages == 0)
    }
}
