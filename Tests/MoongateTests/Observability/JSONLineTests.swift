import Foundation
import Testing

@testable import Moongate

@Suite struct JSONLineTests {
    private func line(capacity: Int = 8192, _ body: (inout JSONLine) -> Void) throws -> [String: Any] {
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: capacity)
        defer { memory.deallocate() }
        var line = JSONLine(memory)
        body(&line)
        let bytes = line.end()
        #expect(bytes[bytes.count - 1] == UInt8(ascii: "\n"))
        let data = Data(bytes.buffer)
        #expect(String(data: data, encoding: .utf8) != nil)
        return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private func value(_ bytes: [UInt8], longest: Int = 512) throws -> String? {
        try line { line in
            bytes.withUnsafeBufferPointer { buffer in
                guard let base = buffer.baseAddress else { return }
                line.field(Bytes("v"), Bytes(base, buffer.count), longest: longest)
            }
        }["v"] as? String
    }

    @Test func everyAsciiByteComesBack() throws {
        let all = (0..<128).map { UInt8($0) }
        #expect(try value(all, longest: 2000) == String(decoding: all, as: UTF8.self))
    }

    @Test func wellFormedUTF8ComesBack() throws {
        let text = "grüße 東京 🦀 \u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}"
        #expect(try value(Array(text.utf8)) == text)
    }

    @Test(
        arguments: [
            [0x80], [0xc0, 0xaf], [0xc3], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x92],
            [0xf4, 0x90, 0x80, 0x80],
            [0xff], [0xf8, 0x88, 0x80, 0x80, 0x80], [0xe0, 0x80, 0x80],
        ] as [[UInt8]])
    func badUTF8IsReplaced(_ bad: [UInt8]) throws {
        let text = try #require(try value(Array("a".utf8) + bad + Array("b".utf8)))
        #expect(text.hasPrefix("a\u{FFFD}") && text.hasSuffix("b"))
        #expect(text.unicodeScalars.dropFirst().dropLast().allSatisfy { $0 == "\u{FFFD}" })
    }

    @Test func C1AndDirectionCharactersAreEscaped() throws {
        let hidden = "a\u{80}\u{9B}31m\u{9F}\u{61C}\u{200E}\u{200F}\u{2028}\u{2029}\u{202A}\u{202E}\u{2066}\u{2069}z"
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 4096)
        defer { memory.deallocate() }
        var line = JSONLine(memory)
        hidden.withBytes { line.field(Bytes("v"), $0) }
        let written = String(decoding: line.end().buffer, as: UTF8.self)
        #expect(
            written.hasPrefix(#"{"v":"a\u0080\u009b31m\u009f\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069z"}"#)
        )
        #expect(try value(Array(hidden.utf8)) == hidden)
    }

    @Test func longValuesAreCutAtACharacter() throws {
        for length in 3...40 {
            let text = try #require(
                try value(Array("äbc\u{01}🦀".utf8) + Array(repeating: 0xc3, count: 40), longest: length))
            #expect(text.hasSuffix("…"))
        }
        #expect(try value(Array("12345".utf8), longest: 5) == "12345")
        #expect(try value(Array("123456".utf8), longest: 5) == "12…")
    }

    @Test func fieldsWithoutRoomAreLeftOut() throws {
        for capacity in 64..<200 {
            let object = try line(capacity: capacity) { line in
                for index in 0..<30 {
                    "\"name\(index)".withBytes { name in "wert ä".withBytes { line.field(name, $0) } }
                    line.field(Bytes("n"), UInt64.max)
                    line.field(Bytes("t"), unixMilliseconds: 0)
                    line.field(Bytes("d"), milliseconds: .max)
                }
            }
            #expect(object.count < 30)
        }
    }

    @Test func numbersAndTimesAreExact() throws {
        let object = try line { line in
            line.field(Bytes("max"), UInt64.max)
            line.field(Bytes("zero"), 0)
            line.field(Bytes("ms"), milliseconds: 12_005)
            line.field(Bytes("time"), unixMilliseconds: 1_709_210_096_007)
        }
        #expect((object["max"] as? NSNumber)?.uint64Value == UInt64.max)
        #expect((object["zero"] as? NSNumber)?.intValue == 0)
        #expect((object["ms"] as? NSNumber)?.doubleValue == 12.005)
        #expect(object["time"] as? String == "2024-02-29T12:34:56.007Z")
    }

    @Test func calendarAgreesWithTheSystem() {
        for milliseconds in stride(from: Int64(0), through: 253_402_300_799_999, by: 86_400_000 * 17 + 4_567_891) {
            var seconds = time_t(milliseconds / 1000)
            var parts = tm()
            gmtime_r(&seconds, &parts)
            let time = CalendarTime(unixMilliseconds: milliseconds)
            guard
                time.year == Int(parts.tm_year) + 1900, time.month == Int(parts.tm_mon) + 1,
                time.day == Int(parts.tm_mday), time.hour == Int(parts.tm_hour), time.second == Int(parts.tm_sec)
            else {
                Issue.record("\(milliseconds): \(time)")
                return
            }
        }
    }

    @Test func accessRecordHasItsFields() throws {
        var record = AccessRecord()
        record.startedAt = 1_709_210_096_007
        record.path = Bytes("/helloworld.Greeter/SayHello")
        record.route = Bytes("greeter")
        record.grpcStatus = 0
        record.httpStatus = 200
        record.duration = 1_500
        record.bytesOut = 7
        record.messagesOut = 1
        record.generation = 3
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: AccessRecord.longestLine)
        defer { memory.deallocate() }
        #expect(
            record.write(into: memory).string
                == #"{"time":"2024-02-29T12:34:56.007Z","path":"/helloworld.Greeter/SayHello","route":"greeter","#
                + #""grpc_status":0,"http_status":200,"duration_ms":1.500,"bytes_in":0,"bytes_out":7,"#
                + #""messages_in":0,"messages_out":1,"generation":3}"# + "\n")
    }

    @Test func longestRecordFits() throws {
        let long = [UInt8](repeating: 1, count: 65_536)
        try long.withUnsafeBufferPointer { buffer in
            let base = try #require(buffer.baseAddress)
            let bytes = Bytes(base, buffer.count)
            let record = AccessRecord(
                startedAt: .max, requestID: bytes, listener: bytes, remote: bytes, method: bytes, authority: bytes,
                path: bytes, route: bytes, upstream: bytes, endpoint: bytes, policy: bytes, termination: bytes,
                grpcStatus: .max, httpStatus: .max, duration: .max, bytesIn: .max, bytesOut: .max, messagesIn: .max,
                messagesOut: .max, generation: .max)
            let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: AccessRecord.longestLine)
            defer { memory.deallocate() }
            let text = record.write(into: memory)
            let object = try JSONSerialization.jsonObject(with: Data(text.buffer)) as? [String: Any]
            #expect(object?.count == 20)
        }
    }
}
