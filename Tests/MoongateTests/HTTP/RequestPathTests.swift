import MoongateConfig
import Testing

@testable import Moongate

@Suite struct RequestPathTests {
    /// The canonical path, or why there is none.
    private func made(_ path: String, _ mode: PathMode = .strict, isGRPC: Bool = false) -> String {
        let (outcome, text) = RequestPath.canonicalize(path, mode, isGRPC: isGRPC)
        if case .refused(let fault) = outcome { return "\(fault)" }
        return text
    }

    @Test(arguments: [
        "/", "/a", "/helloworld.Greeter/SayHello", "/a/", "/a.b", "/...", "/.a", "/..a", "/a..", "/a./b",
        "/.well-known/x",
        "/a?../b", "/a?x=/../", "/a?x=%00", "/a?%2", "/a?\u{e4}", "/~a/-_", "/a!$&'()*+,=:@b", "/a%20b",
        "/%F0%9F%98%80",
        "/caf%C3%A9", "/%ED%9F%BF", "/%EF%BF%BF", "/a%25", "/a%25/b", "/a%25zz", "/a%2Bb", "/%5B%5D", "/a%23b",
        "/a%3Fb",
        "/a[b]", "/a\"b|c^d`e<f>{g}", "/a?b//c", "/a?b\\c",
    ])
    func staysAsItIs(path: String) {
        #expect(made(path) == path)
        guard case .plain = RequestPath.canonicalize(path, .strict, isGRPC: false).outcome else {
            Issue.record("\(path) was written anew")
            return
        }
    }

    @Test(arguments: [
        ("/%61dmin", "/admin"), ("/admin%2ESvc/Drop", "/admin.Svc/Drop"), ("/%41%7a%30%2d%2E%5f%7E", "/Az0-._~"),
        ("/a%2bb%c3%a9", "/a%2Bb%C3%A9"), ("//a", "/a"), ("/a//b///c//", "/a/b/c/"), ("//", "/"),
        ("/%2e%2e%2e", "/..."),
        ("/a%2E?%61", "/a.?%61"), ("/a%3ab", "/a%3Ab"), ("/%5b", "/%5B"), ("//?//", "/?//"), ("/.%2ex", "/..x"),
    ])
    func isMadeCanonical(path: String, canonical: String) {
        #expect(made(path) == canonical)
        #expect(made(canonical) == canonical)
    }

    @Test(arguments: [
        ("", PathFault.noSlash), ("a", .noSlash), ("*", .noSlash), ("?a", .noSlash), ("http://a/b", .noSlash),
        ("/%", .malformedEscape), ("/%2", .malformedEscape), ("/%zz", .malformedEscape), ("/%%41", .malformedEscape),
        ("/%u0041", .malformedEscape), ("/a%4?1", .malformedEscape), ("/a%00", .controlCharacter),
        ("/%1f", .controlCharacter),
        ("/%0d%0aa", .controlCharacter), ("/%7F", .controlCharacter), ("/a\u{7f}", .controlCharacter),
        ("/\u{e4}", .notASCII),
        ("/a b", .blank), ("/a#b", .fragment), ("/a?b#c", .fragment), ("/#", .fragment), ("/a\\b", .backslash),
        ("/a%5cb", .backslash), ("/a%5Cb", .backslash), ("/.", .dotSegment), ("/..", .dotSegment), ("/./", .dotSegment),
        ("/a/../b", .dotSegment), ("/a/..", .dotSegment), ("/a/.?x", .dotSegment), ("/%2e", .dotSegment),
        ("/a/%2E%2e/b", .dotSegment), ("/a/.%2e", .dotSegment), ("/%2e./", .dotSegment), ("/a/..;/b", .dotSegment),
        ("/a/.;x", .dotSegment), ("/a/..;x=1/b", .dotSegment), ("/a/..%3bx/b", .dotSegment),
        ("/%2e%2e;/b", .dotSegment),
        ("/a/..%2fb", .dotSegment), ("/a/.%3Fb", .dotSegment), ("/a/..%23", .dotSegment), ("/a%2f..%2fb", .dotSegment),
        ("/a%2F%2e%2e", .dotSegment),
        ("/a%2f./b", .dotSegment),
        ("/%252e%252e/a", .doubleEncoding), ("/%2561", .doubleEncoding), ("/%25%36%31", .doubleEncoding),
        ("/%256%31", .doubleEncoding), ("/%25%361", .doubleEncoding), ("/a%25ff", .doubleEncoding), ("/%C3", .notUTF8),
        ("/%A9", .notUTF8), ("/%C0%AE", .notUTF8), ("/%C1%81", .notUTF8), ("/%E0%80%AF", .notUTF8),
        ("/%ED%A0%80", .notUTF8),
        ("/%F4%90%80%80", .notUTF8), ("/%F8%88%80%80%80", .notUTF8), ("/%C3a%A9", .notUTF8), ("/%C3/%A9", .notUTF8),
        ("/%F0%80%80%AF", .notUTF8), ("/%FF", .notUTF8), ("/%E2%82", .notUTF8),
    ])
    func isRefused(path: String, fault: PathFault) {
        #expect(made(path) == "\(fault)")
    }

    @Test(arguments: [
        ("/S/M", "/S/M"), ("/S/M?a=%41", "/S/M?a=%41"), ("/%53/M", "escapeInGRPC"), ("/S/M%2F", "escapeInGRPC"),
        ("//S/M", "emptySegment"), ("/S//M", "emptySegment"), ("/S/M/", "/S/M/"), ("/S/..", "dotSegment"),
    ])
    func gRPCPathsNeedNoEscapes(path: String, result: String) {
        #expect(made(path, isGRPC: true) == result)
    }

    @Test(arguments: [
        ("/%61dmin", "/admin"), ("/a%2fb", "/a%2fb"), ("//a", "//a"), ("/a;b", "/a;b"), ("/a\\b", "/a\\b"),
        ("/%", "/%"),
        ("/a#b", "/a#b"), ("/%00", "/%00"), ("/%C0", "/%C0"), ("/%2561", "/%2561"), ("/\u{e4}", "/\u{e4}"),
        ("/%2e", "dotSegment"),
        ("/..;x", "dotSegment"), ("/..%2f", "dotSegment"), ("/a\\..\\b", "dotSegment"), ("/a%5c..", "dotSegment"),
        ("/%%34%31", "/%%341"), ("/%4%31", "/%4%31"), ("/%%41", "/%%41"), ("/%%7e", "/%~"),
    ])
    func lenientDecodesAndRefusesDotSegmentsAlone(path: String, result: String) {
        #expect(made(path, .lenient) == result)
        #expect(made(path, .lenient, isGRPC: true) == result)
    }

    @Test func whatRoutesHaveASayInIsNoted() {
        func traits(_ path: String, _ mode: PathMode = .strict) -> PathTraits? {
            switch RequestPath.canonicalize(path, mode, isGRPC: false).outcome {
            case .plain(let traits), .rewritten(_, let traits): traits
            case .refused: nil
            }
        }
        #expect(traits("/a+b?;%2F") == [])
        #expect(traits("/%61") == [])
        #expect(traits("/a%2Bb") == .escaped)
        #expect(traits("/a;b") == [.escaped, .parameters])
        #expect(traits("/a%3bb") == [.escaped, .parameters])
        #expect(traits("/a%2fb") == [.escaped, .encodedSlash])
        #expect(traits("/a%3f") == [.escaped, .encodedEnd])
        #expect(traits("/a%23") == [.escaped, .encodedEnd])
        #expect(traits("/a;%2f%3f", .lenient) == .escaped)
        #expect(traits("//a", .lenient) == .escaped)
    }

    @Test func aPathOfAnyLengthIsWrittenWhole() {
        let long = String(repeating: "/%61b", count: 13_000)
        #expect(made(long) == String(repeating: "/ab", count: 13_000))
        #expect(made(long + "/..") == "dotSegment")
        #expect(made(String(repeating: "/", count: 70_000)) == "/")
    }

    /// Paths are looked at eight octets at a time.
    @Test(arguments: 1..<40) func anythingIsFoundWhereverItStands(length: Int) {
        let before = "/" + String(repeating: "a", count: length)
        for behind in ["", "b", "/bcdefghijkl", "/b.c/d"] {
            for odd in ["/..", "/.", "/%2e.", "#", "\\", "%00", ";", "%61", "//", "\u{e4}", " "] {
                let path = before + odd + (odd.hasPrefix("/") && !behind.hasPrefix("/") ? "" : behind)
                #expect(!Array(path.utf8).withBytes { RequestPath.isPlain($0) }, "\(path)")
            }
            for good in ["/..x", ".", "/b", "/...", ":", "@", "-", "~"] {
                let path = before + good + behind
                #expect(made(path) == path, "\(path)")
            }
        }
        let plain = before + "/pkg.Service/Method_1-~"
        #expect(Array(plain.utf8).withBytes { RequestPath.isPlain($0) })
    }

    /// Octets above one that is found may be taken for it, which costs a closer look and nothing else.
    @Test func whatIsPlainAtFirstSightIsCanonical() {
        var random = SeededGenerator(state: 7)
        let octets = Array("/.%2eE41;\\#?a-_~:@! \u{e4}".utf8) + [0, 1, 0x80, 0xff]
        for _ in 0..<200_000 {
            let length = Int.random(in: 1...24, using: &random)
            let path =
                [UInt8(ascii: "/")] + (0..<length).map { _ in octets.randomElement(using: &random) ?? 0 }
            guard path.withBytes({ RequestPath.isPlain($0) }) else { continue }
            for mode in PathMode.allCases {
                for isGRPC in [false, true] {
                    var target = [UInt8](repeating: 0, count: path.count)
                    let outcome = path.withBytes {
                        RequestPath.canonicalize($0, mode, isGRPC: isGRPC, into: &target)
                    }
                    #expect(outcome == .plain([]), "\(path)")
                }
            }
        }
    }

    /// Whatever the octets are: nothing grows, what is canonical stays so, and the query is never touched.
    @Test(arguments: PathMode.allCases, [false, true]) func theFunctionIsIdempotent(mode: PathMode, isGRPC: Bool) {
        var random = SeededGenerator(state: 11)
        let pieces = [
            "%", "2", "5", "e", "E", "f", "F", "c", "3", "a", "9", ".", "/", ";", "\\", "%25", "%2e", "%2f", "%c3%a9",
            "%41", "#", "?",
        ]
        var canonical = 0
        for _ in 0..<60_000 {
            let length = Int.random(in: 0...12, using: &random)
            let path = "/" + (0..<length).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let (outcome, text) = RequestPath.canonicalize(path, mode, isGRPC: isGRPC)
            if case .refused = outcome { continue }
            canonical += 1
            #expect(text.utf8.count <= path.utf8.count)
            #expect(text.drop { $0 != "?" } == path.drop { $0 != "?" }, "\(path)")
            let again = RequestPath.canonicalize(text, mode, isGRPC: isGRPC)
            guard case .plain(let traits) = again.outcome else {
                Issue.record("\(path) is \(text), and that is \(again)")
                continue
            }
            if case .rewritten(_, let first) = outcome { #expect(traits == first, "\(path)") }
        }
        #expect(canonical > 3000)
    }
}
