import CMoongate
import Testing

@testable import Moongate

@Suite struct JSONTests {
    @Test func valuesComeBackAsTheyWere() throws {
        try MoonScript.run(
            #"""
            local value = moon.json.decode [[ {"a":[1,2.5,-3,1e3,true,false,null,"x"],"b":{},"c":[],"":"e"} ]]
            assert(value.a[1] == 1 and math.type(value.a[1]) == "integer")
            assert(value.a[2] == 2.5 and value.a[3] == -3 and math.type(value.a[4]) == "float")
            assert(value.a[5] == true and value.a[6] == false and value.a[7] == moon.json.null and value.a[8] == "x")
            assert(moon.json.null ~= nil and type(moon.json.null) == "userdata" and value[""] == "e")
            local text = moon.json.encode(value)
            assert(text == '{"":"e","a":[1,2.5,-3,1000.0,true,false,null,"x"],"b":{},"c":[]}', text)
            """#)
    }

    @Test func arraysAndObjectsAreToldApart() throws {
        try MoonScript.run(
            #"""
            local json = moon.json
            assert(json.encode {} == "{}" and json.encode(json.array {}) == "[]" and json.encode(json.array()) == "[]")
            assert(json.encode(json.decode "[]") == "[]" and json.encode(json.decode "[[],{}]") == "[[],{}]")
            assert(json.encode { list = json.array {} } == '{"list":[]}')
            local list = json.array { 1, 2 }
            list[3] = "x"
            assert(#list == 3 and json.encode(list) == '[1,2,"x"]')
            assert(json.encode(nil) == "null" and json.encode(json.null) == "null" and json.encode "a" == '"a"')
            local marked = { "a" }
            assert(json.array(marked) == marked)
            assert(not pcall(json.array, setmetatable({}, {})))
            """#)
    }

    @Test(arguments: [
        ("9223372036854775807", "9223372036854775807"), ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "9.223372036854776e+18"), ("0", "0"), ("-0", "0"), ("0.1", "0.1"),
        ("1E2", "100.0"), ("1e-2", "0.01"), ("123456789012345678901234567890", "1.2345678901234568e+29"),
        ("5e-324", "5e-324"), ("1.7976931348623157e308", "1.7976931348623157e+308"),
    ])
    func numbersAreKept(text: String, again: String) throws {
        try MoonScript.run("assert(moon.json.encode(moon.json.decode '\(text)') == '\(again)')")
    }

    @Test func textsAreUnescapedAndEscaped() throws {
        try MoonScript.run(
            #"""
            local json = moon.json
            assert(json.decode [["\"\\\/\b\f\n\r\t\u00e9\u20ac\ud83d\ude00\u0000"]] == '"\\/\b\f\n\r\té€😀\0')
            assert(json.encode("\"\\\n\r\t\1\127é😀") == [["\"\\\n\r\t\u0001\u007fé😀"]])
            assert(json.decode [["ä\u0041b"]] == "äAb")
            """#)
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:2}", "01",
        "-",
        "1.", ".5", "1e", "+1", "1 2", "tru", "nul", "True", "'a'", "\"a", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"",
        "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\u{1}\"", "1e999", "[1}", "NaN", "Infinity", "// x", "\u{feff}1",
        "[1 2]",
        "{\"a\" 1}", "\"\\",
    ])
    func malformedTextsAreRefused(text: String) throws {
        let tape = Scratch()
        #expect(throws: JSONFault.self) { try tape.read(Array(text.utf8)) }
        #expect(tape.count == 0)
    }

    @Test(arguments: [
        [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xe2, 0x82],
    ])
    func textsThatAreNotUTF8AreRefused(bytes: [UInt8]) throws {
        #expect(throws: JSONFault.self) { try Scratch().read(bytes) }
    }

    @Test func depthSizeAndCountAreBounded() throws {
        func nested(_ depth: Int) -> [UInt8] {
            Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
        }
        try Scratch().read(nested(32))
        #expect(throws: JSONFault.self) { try Scratch().read(nested(33)) }
        #expect(throws: JSONFault.self) { try Scratch().read(nested(400_000)) }
        #expect(throws: JSONFault.self) { try Scratch().read([UInt8](repeating: 0x20, count: 1 << 20) + [0x31]) }
        let many = Array(("[" + String(repeating: "1,", count: 1 << 18) + "1]").utf8)
        #expect(throws: JSONFault.self) { try Scratch().read(many) }
    }

    @Test(arguments: [
        ("print", "only tables, texts, numbers and booleans"), ("0/0", "JSON has no"), ("1/0", "JSON has no inf"),
        ("'\\xff'", "a text is not UTF-8"), ("{1, nil, 3}", "a table is neither"), ("{1, a = 2}", "a table is neither"),
        ("{ [1.5] = 2 }", "a table is neither"), ("{ a = { b = print } }", "only tables, texts"),
        ("moon.json.array { a = 1 }", "an array has other keys"), ("('x'):rep(1 << 20)", "longer than 1048576 bytes"),
        ("(function() local t = {} t.t = t return t end)()", "table too deep"),
    ])
    func whatJSONCannotHoldIsAnError(value: String, message: String) throws {
        #expect(MoonScript.unhealthyReason("moon.json.encode(\(value))").contains(message))
    }

    @Test func aWrongTextIsNoErrorButHasAReason() throws {
        try MoonScript.run(
            """
            local value, reason = moon.json.decode '{"a": tru}'
            assert(value == nil and reason == "no value begins like this at byte 7", reason)
            """)
    }

    /// Whatever the bytes are, the reader ends with a value or a fault and leaves a tape that is whole.
    @Test func randomTextsDoNoHarm() throws {
        var generator = Generator(state: 42)
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "d83d", "1", "-", "e", ".", "true", "null", "\u{e9}", " ",
        ]
        var read = 0
        for _ in 0..<20_000 {
            var text: [UInt8] = []
            for _ in 0..<Int.random(in: 0..<24, using: &generator) {
                if Bool.random(using: &generator) {
                    text += Array(pieces.randomElement(using: &generator)?.utf8 ?? "".utf8)
                } else {
                    text.append(UInt8.random(in: 0...255, using: &generator))
                }
            }
            let tape = Scratch()
            if (try? tape.read(text)) != nil {
                read += 1
                var writer = JSONWriter()
                try writer.write(try #require(tape.root))
                // What was written reads as the same again.
                let second = Scratch()
                try second.read(writer.text)
                var again = JSONWriter()
                try again.write(try #require(second.root))
                #expect(again.text == writer.text)
            } else {
                #expect(tape.count == 0)
            }
        }
        #expect(read > 10)
    }
}

/// A tape with room, for one text.
private final class Scratch {
    private let tape = UnsafeMutablePointer<mg_tape>.allocate(capacity: 1)
    private var blocks: [UnsafeMutablePointer<UInt8>] = []
    init() { tape.initialize(to: mg_tape()) }
    deinit {
        mg_tape_free(tape)
        tape.deallocate()
        for block in blocks { block.deallocate() }
    }

    var count: Int32 { tape.pointee.count }
    var root: TapeView? { TapeView(tape.pointee) }

    func read(_ text: [UInt8]) throws {
        // Exactly as large as needed: AddressSanitizer sees one byte too many.
        let source = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, text.count))
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, text.count))
        blocks += [source, room]
        for (index, byte) in text.enumerated() { source[index] = byte }
        var reader = JSONReader(Bytes(UnsafePointer(source), text.count), to: tape, room: room)
        try reader.read()
    }
}

/// The same numbers in every run.
struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
