import CNghttp2
import Testing

@testable import Moongate

/// Ours against libnghttp2's, both ways.
@Suite final class HeaderCompressionTests {
    private typealias Pair = (name: String, value: String)

    private let tools = CompressionTools()
    private var encoder: HeaderEncoder
    private var decoder: HeaderDecoder
    private let list = HeaderList()

    init() {
        encoder = HeaderEncoder(tools)
        decoder = HeaderDecoder(tools)
    }

    deinit {
        encoder.free()
        decoder.free()
        list.destroy()
    }

    private func encode(_ fields: [Pair]) -> [UInt8] {
        list.reset()
        for (name, value) in fields {
            name.withBytes { name in value.withBytes { list.add(name: name, value: $0) } }
        }
        return [UInt8](unsafeUninitializedCapacity: HeaderEncoder.bound(fieldSize: list.encodedSize)) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            count = encoder.encode(list, to: base)
        }
    }

    private func decode(_ block: [UInt8]) -> [String]? {
        var fields: [String] = []
        let isSound = block.withBytes { decoder.decode($0) { fields.append("\($0.name.string): \($0.value.string)") } }
        return isSound ? fields : nil
    }

    @Test func fieldsThatTheTableDoesNotTakeAnyMoreAreNotAnnouncedEither() {
        encoder.free()
        encoder = HeaderEncoder(tools, first: Int(Int32.max) - 3)
        let fields = (0..<8).map { (name: "x-\($0)", value: "value") }
        for _ in 0..<4 { #expect(decode(encode(fields)) == Self.text(fields)) }
    }

    /// RFC 7541 §6.2.3, §7.1.3: also where the static table has the field or its name.
    @Test(arguments: [
        (":method", "POST"), (":scheme", "https"), (":path", "/secret"), (":authority", "secret.example"),
        (":status", "200"), ("x-token", "secret"), ("content-type", "application/grpc"),
    ])
    func whatIsNeverIndexedStaysSo(name: String, value: String) {
        for _ in 0..<3 {
            list.reset()
            name.withBytes { name in value.withBytes { list.add(name: name, value: $0, neverIndexed: true) } }
            let block = [UInt8](unsafeUninitializedCapacity: HeaderEncoder.bound(fieldSize: list.encodedSize)) {
                buffer, count in
                if let base = buffer.baseAddress { count = encoder.encode(list, to: base) }
            }
            #expect(block[0] & 0xf0 == 0x10)
            var flags: [Bool] = []
            #expect(block.withBytes { decoder.decode($0) { flags.append($0.neverIndexed) } })
            #expect(flags == [true])
        }
    }

    private static func text(_ fields: [Pair]) -> [String] { fields.map { "\($0.name): \($0.value)" } }

    private static func random(_ random: inout FastRandom) -> [Pair] {
        let names = [
            ":path", ":authority", "content-type", "user-agent", "x-a", "x-longer-name-than-others", "cookie",
            "grpc-timeout", "te", "x-\(random.next() % 40)",
        ]
        return (0..<Int(random.next() % 12)).map { _ in
            let length = Int(random.next() % 10 == 0 ? random.next() % 2000 : random.next() % 40)
            let kinds = random.next() % 5 == 0 ? UInt64(1) << 32 : 4
            let seed = random.next() % kinds
            let octets = (0..<length).map { UInt8(32 + (seed &+ UInt64($0) &* (seed | 1)) % 95) }
            return (names[Int(random.next() % UInt64(names.count))], String(decoding: octets, as: UTF8.self))
        }
    }

    @Test func nghttp2ReadsWhatIsWritten() throws {
        let judge = Nghttp2Codec()
        var random = FastRandom()
        for round in 0..<3000 {
            let fields = HeaderCompressionTests.random(&random)
            if round % 500 == 499 {
                encoder.limitTable(to: UInt32(random.next() % 300))
                encoder.limitTable(to: UInt32(random.next() % 5000))
            }
            #expect(judge.inflate(encode(fields)) == HeaderCompressionTests.text(fields))
        }
    }

    @Test func whatNghttp2WritesIsRead() throws {
        let judge = Nghttp2Codec()
        var random = FastRandom()
        for round in 0..<3000 {
            let fields = HeaderCompressionTests.random(&random)
            if round % 500 == 499 { judge.limitTable(to: Int(random.next() % 4097)) }
            #expect(decode(judge.deflate(fields.map { ($0.name, $0.value) })) == HeaderCompressionTests.text(fields))
        }
    }

    /// RFC 7541 Appendix C.4: three requests with Huffman coding on one connection.
    @Test func requestsOfTheRFCAreRead() {
        #expect(
            decode(.init(hex: "828684418cf1e3c2e5f23a6ba0ab90f4ff")) == [
                ":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com",
            ])
        #expect(
            decode(.init(hex: "828684be5886a8eb10649cbf")) == [
                ":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache",
            ])
        #expect(
            decode(.init(hex: "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")) == [
                ":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com",
                "custom-key: custom-value",
            ])
    }

    /// RFC 7541 Appendix C.6 with the table's default size.
    @Test func responsesOfTheRFCAreRead() {
        let first = decode(
            .init(
                hex: """
                    488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3
                    """))
        #expect(
            first == [
                ":status: 302", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT",
                "location: https://www.example.com",
            ])
    }

    @Test(arguments: [
        "80",  // number 0
        "be",  // the newest entry of an empty table
        "ff8080808001",  // a number beyond all
        "ff",  // cut within a number
        "4003",  // cut before the name
        "400361626303",  // cut before the value
        "0001",  // cut within the name
        "82203f",  // a change of the limit behind a field
        "3fe21f",  // a limit of 4097
        "008161ff00",  // a Huffman string of eight bits of padding
        "0081e000",  // padding that is not all ones
        "0085fffffffffc00",  // the end of the string within it
    ]) func malformedBlocksAreRefused(_ hex: String) { #expect(decode(.init(hex: hex)) == nil) }

    @Test func fieldsEnterTheTableWhenTheyComeAgain() {
        let fields: [Pair] = [("x-tenant", "a-tenant-with-a-name")]
        let sizes = (0..<4).map { _ in encode(fields).count }
        #expect(sizes[0] > 20 && sizes[1] > 20)
        #expect(sizes[2] == 1 && sizes[3] == 1)
    }

    @Test(arguments: [
        "authorization", "proxy-authorization", "cookie", "set-cookie", "password", "x-password", "x-api-key",
    ]) func credentialsNeverEnterATable(_ name: String) {
        for _ in 0..<4 {
            let block = encode([(name, "secret-value")])
            #expect(block.count > 12)
            var isNeverIndexed = false
            let isRead = block.withBytes { decoder.decode($0) { isNeverIndexed = $0.neverIndexed } }
            #expect(isRead && isNeverIndexed)
        }
    }

    @Test func whatThePeerMarkedStaysOutOfTheTable() {
        for _ in 0..<4 {
            list.reset()
            list.add(name: Bytes("x-session"), value: Bytes("secret-value"))
            list.add(name: Bytes("x-session"), value: Bytes("another"))
            list.neverIndex(Bytes("x-session"))
            let block = [UInt8](unsafeUninitializedCapacity: HeaderEncoder.bound(fieldSize: list.encodedSize)) {
                buffer, count in
                if let base = buffer.baseAddress { count = encoder.encode(list, to: base) }
            }
            var marks: [Bool] = []
            let isRead = block.withBytes { decoder.decode($0) { marks.append($0.neverIndexed) } }
            #expect(isRead && marks == [true, true])
        }
    }

    @Test func valuesThatAlwaysDifferLeaveTheTableAlone() {
        for _ in 0..<3 { _ = encode([("x-tenant", "acme")]) }
        for number in 0..<5000 { _ = encode([("x-trace", "unique-value-\(number)-and-some-more")]) }
        #expect(encode([("x-tenant", "acme")]).count == 1)
    }

    @Test func unsoundFieldsAreMarkedWherever() {
        for _ in 0..<2 {
            // Into the table, then out of it.
            let blocks: [[UInt8]] = [[0x40, 3] + Array("x-\u{41}".utf8) + [1, 0x61], [0xbe]]
            for block in blocks {
                var sound: [Bool] = []
                let isRead = block.withBytes { decoder.decode($0) { sound.append($0.isSound) } }
                #expect(isRead)
                #expect(sound == [false])
            }
        }
    }
}

/// libnghttp2's header compression.
private final class Nghttp2Codec {
    private var inflater: OpaquePointer?
    private var deflater: OpaquePointer?

    init() {
        nghttp2_hd_inflate_new(&inflater)
        nghttp2_hd_deflate_new(&deflater, 4096)
    }

    deinit {
        nghttp2_hd_inflate_del(inflater)
        nghttp2_hd_deflate_del(deflater)
    }

    func limitTable(to size: Int) { nghttp2_hd_deflate_change_table_size(deflater, size) }

    func inflate(_ block: [UInt8]) -> [String]? {
        var fields: [String] = []
        var position = 0
        while true {
            var pair = nghttp2_nv()
            var flags: Int32 = 0
            let used = block.withUnsafeBufferPointer {
                nghttp2_hd_inflate_hd2(
                    inflater, &pair, &flags, $0.baseAddress.map { $0 + position }, block.count - position, 1)
            }
            guard used >= 0 else { return nil }
            position += used
            if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                fields.append("\(Bytes(pair.name, pair.namelen).string): \(Bytes(pair.value, pair.valuelen).string)")
            }
            if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
        }
        nghttp2_hd_inflate_end_headers(inflater)
        return position == block.count ? fields : nil
    }

    func deflate(_ fields: [(String, String)]) -> [UInt8] {
        let texts = fields.flatMap { [Array($0.0.utf8), Array($0.1.utf8)] }
        let storage = texts.map { text -> UnsafeMutablePointer<UInt8> in
            let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, text.count))
            copy.initialize(from: text, count: text.count)
            return copy
        }
        defer { storage.forEach { $0.deallocate() } }
        let pairs = fields.indices.map {
            nghttp2_nv(
                name: storage[2 * $0], value: storage[2 * $0 + 1], namelen: texts[2 * $0].count,
                valuelen: texts[2 * $0 + 1].count, flags: 0)
        }
        let room = nghttp2_hd_deflate_bound(deflater, pairs, pairs.count) + 16
        return [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            count = max(0, nghttp2_hd_deflate_hd(deflater, buffer.baseAddress, room, pairs, pairs.count))
        }
    }
}

extension [UInt8] {
    /// Two digits an octet; white space is passed over.
    init(hex: String) {
        let digits = hex.compactMap(\.hexDigitValue)
        self = stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
