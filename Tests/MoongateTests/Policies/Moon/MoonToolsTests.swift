import Testing

@testable import Moongate

/// `moon.base64`, `hex`, `url`, `time`, `uuid`, `crypto`, `log`.
@Suite struct MoonToolsTests {
    /// RFC 4648 §10.
    @Test(arguments: [
        ("", "", ""), ("f", "Zg==", "66"), ("fo", "Zm8=", "666f"), ("foo", "Zm9v", "666f6f"),
        ("foob", "Zm9vYg==", "666f6f62"), ("fooba", "Zm9vYmE=", "666f6f6261"), ("foobar", "Zm9vYmFy", "666f6f626172"),
    ])
    func baseEncodings(plain: String, base64: String, hex: String) throws {
        try MoonScript.run(
            """
            assert(moon.base64.encode("\(plain)") == "\(base64)" and moon.base64.decode("\(base64)") == "\(plain)")
            assert(moon.base64url.encode("\(plain)") == ("\(base64)"):gsub("=", ""))
            assert(moon.base64url.decode("\(base64)") == "\(plain)")
            assert(moon.hex.encode("\(plain)") == "\(hex)" and moon.hex.decode(("\(hex)"):upper()) == "\(plain)")
            """)
    }

    @Test func malformedEncodingsAreNil() throws {
        try MoonScript.run(
            #"""
            assert(moon.base64url.encode("\xfb\xff\xbf") == "-_-_" and moon.base64.encode("\xfb\xff\xbf") == "+/+/")
            assert(moon.base64url.decode "+/+/" == nil and moon.base64.decode "-_-_" == nil)
            for _, text in ipairs { "A", "AA=", "A===", "AA==A", "A A=", "\0\0\0\0" } do
              assert(moon.base64.decode(text) == nil, text)
            end
            for _, text in ipairs { "0", "0g", "zz" } do assert(moon.hex.decode(text) == nil, text) end
            """#)
    }

    @Test func urls() throws {
        try MoonScript.run(
            #"""
            local url = moon.url
            assert(url.escape "a b/ü~.-_" == "a%20b%2F%C3%BC~.-_" and url.unescape "a%20b%2f%C3%BC+" == "a b/ü+")
            for _, text in ipairs { "%", "%2", "%zz", "a%" } do assert(url.unescape(text) == nil, text) end
            local all = assert(url.parse "https://ada:s%20x@[2001:db8::1]:8443/a/b?q=1&r#top")
            assert(all.scheme == "https" and all.user == "ada" and all.password == "s%20x" and all.host == "2001:db8::1")
            assert(all.port == 8443 and all.path == "/a/b" and all.query == "q=1&r" and all.fragment == "top")
            local path = assert(url.parse "/shop.Cart/Add?x=1")
            assert(path.scheme == nil and path.host == nil and path.path == "/shop.Cart/Add" and path.query == "x=1")
            assert(url.parse("//h").host == "h" and url.parse("mailto:a@b").path == "a@b" and url.parse("").path == "")
            for _, text in ipairs { "http://a:99999/", "http://a:b/", "http://[::1/", "http://[::1]x/", "a b", "\0" } do
              local parsed, reason = url.parse(text)
              assert(parsed == nil and type(reason) == "string", text)
            end
            """#)
    }

    @Test func queries() throws {
        try MoonScript.run(
            #"""
            local query = moon.url.query
            local read = query "a=1&b=x%20y+z&a=2&c&%zz=%&=e&"
            assert(read.a[1] == "1" and read.a[2] == "2" and read.b == "x y z" and read.c == "" and read["%zz"] == "%")
            assert(read[""] == "e")
            assert(query { a = { "1", 2 }, ["b c"] = "x&y", d = true } == "a=1&a=2&b%20c=x%26y&d=true")
            assert(next(query "") == nil and query {} == "")
            assert(not pcall(query, { a = { b = {} } }) and not pcall(query, 5 > 3))
            local many = query(("a=b&"):rep(5000))
            assert(#many.a == 1000)
            """#)
    }

    @Test func times() throws {
        try MoonScript.run(
            #"""
            local time = moon.time
            assert(time.now() > 1.7e9 and time.monotonic() > 0 and time.monotonic() <= time.monotonic())
            assert(time.iso(0) == "1970-01-01T00:00:00Z" and time.iso(1795228826.5) == "2026-11-21T02:40:26.500Z")
            assert(time.parse "2026-11-21T02:40:26Z" == 1795228826)
            assert(math.type(time.parse "2026-11-21T02:40:26Z") == "integer")
            assert(time.parse "2026-11-21t03:40:26.25+01:00" == 1795228826.25)
            assert(time.parse "1985-04-12T23:20:50.52Z" == 482196050.52)
            assert(time.parse "1996-12-19T16:39:57-08:00" == 851042397)
            assert(time.parse "1990-12-31T23:59:60Z" == 662688000 and time.parse "2000-02-29T00:00:00Z" == 951782400)
            assert(time.parse "0000-01-01T00:00:00Z" == -62167219200)
            for _, text in ipairs { "", "2026-11-21", "2026-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
              "2026-11-21T24:00:00Z", "2026-11-21T02:40:26", "2026-11-21T02:40:26.Z", "2026-11-21T02:40:26Zx",
              "2026-11-21T02:40:26+25:00", "2026-04-31T00:00:00Z" } do
              local seconds, reason = time.parse(text)
              assert(seconds == nil and reason, text)
            end
            for seconds = 0, 4e9, 123456789 do assert(time.parse(time.iso(seconds)) == seconds // 1) end
            assert(not pcall(time.iso, 0/0) and time.iso(1e300) == "9999-12-31T23:59:59.999Z" and time.iso(-5) == time.iso(0))
            """#)
    }

    @Test func uuids() throws {
        try MoonScript.run(
            #"""
            local seen = {}
            for _ = 1, 100 do
              local four, seven = moon.uuid(), moon.uuid(7)
              assert(four:find "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", four)
              assert(seven:find "^%x+%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x+$" and #seven == 36, seven)
              assert(not seen[four] and not seen[seven])
              seen[four], seen[seven] = true, true
            end
            local milliseconds = tonumber((moon.uuid(7):gsub("-", ""):sub(1, 12)), 16)
            assert(math.abs(milliseconds / 1000 - moon.time.now()) < 60)
            assert(not pcall(moon.uuid, 1))
            """#)
    }

    /// FIPS 180-4, RFC 1321, RFC 2202 and RFC 4231.
    @Test func digests() throws {
        try MoonScript.run(
            #"""
            local hex, crypto = moon.hex.encode, moon.crypto
            assert(hex(crypto.sha256 "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
            assert(hex(crypto.sha256 "") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
            assert(hex(crypto.sha1 "abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")
            assert(hex(crypto.md5 "abc") == "900150983cd24fb0d6963f7d28e17f72")
            assert(hex(crypto.sha512 "abc"):sub(1, 32) == "ddaf35a193617abacc417349ae204131")
            assert(hex(crypto.sha384 "abc"):sub(1, 32) == "cb00753f45a35e8bb5a03d699ac65007")
            assert(hex(crypto.hmac("sha256", "Jefe", "what do ya want for nothing?"))
              == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
            assert(hex(crypto.hmac("sha1", "Jefe", "what do ya want for nothing?"))
              == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
            assert(#crypto.hmac("sha512", "", "") == 64 and not pcall(crypto.hmac, "sha3", "k", "d"))
            assert(crypto.equal("a", "a") and not crypto.equal("a", "b") and not crypto.equal("a", "aa"))
            assert(#crypto.random(32) == 32 and crypto.random(32) ~= crypto.random(32))
            for _, count in ipairs { 0, -1, 65537 } do assert(not pcall(crypto.random, count)) end
            """#)
    }

    @Test func logLinesHaveFields() throws {
        let bench = try MoonScript.run(
            """
            moon.log.info("loaded", { users = 3, ratio = 0.5, ok = true, name = "x" })
            function on_request() moon.log.warn("seen") end
            """)
        let (_, call) = try bench.request(PolicyBench.grpc)
        call.end()
        #expect(bench.log.all.contains("info: loaded name=x ok=true ratio=0.5 users=3"))
        #expect(bench.log.all.contains { $0.hasPrefix("warning: seen policy=p request=") })
    }

    @Test(arguments: [
        ("{ policy = 1 }", "cannot be the name"), ("{ ['a b'] = 1 }", "cannot be the name"),
        ("{ 'x' }", "cannot be the name"), ("{ a = {} }", "the value of a field must be a text"),
        ("{ a = print }", "the value of a field must be a text"),
        ("(function() local t = {} for i = 1, 17 do t['f' .. i] = i end return t end)()", "more than 16 fields"),
        ("{ [('n'):rep(65)] = 1 }", "cannot be the name"),
    ])
    func logFieldsAreBounded(fields: String, message: String) throws {
        #expect(MoonScript.unhealthyReason("moon.log.info('x', \(fields))").contains(message))
    }

    @Test func longFieldsAreCut() throws {
        let bench = try MoonScript.run("moon.log.error('x', { long = ('y'):rep(5000) })")
        let line = try #require(bench.log.all.first { $0.hasPrefix("error: x long=") })
        #expect(line.hasSuffix("y…") && line.count < 1100)
    }
}
