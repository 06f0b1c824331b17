import Testing

@testable import Moongate

@Suite struct AuthorityTests {
    @Test(
        arguments: [
            ("example.com", "example.com", nil), ("example.com:443", "example.com", 443),
            ("example.com.", "example.com", nil), ("example.com.:80", "example.com", 80),
            ("Example.COM", "Example.COM", nil),
            ("[::1]", "::1", nil), ("[::1]:443", "::1", 443), ("[fe80::1%25eth0]", nil, nil),
            ("10.0.0.1:0", "10.0.0.1", 0),
            ("localhost:65535", "localhost", 65535), ("host:", "host", nil), ("[::1]:", "::1", nil),
            ("a_b.local:08080", "a_b.local", 8080), (".", ".", nil),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", nil),
        ] as [(String, String?, UInt16?)])
    func hostAndPortAreTakenApart(text: String, host: String?, port: UInt16?) {
        text.withBytes { bytes in
            let authority = Authority(parsing: bytes)
            #expect(authority?.host.string == host)
            #expect(authority?.portNumber == port)
        }
    }

    @Test(arguments: [
        "", ":443", "[", "[]", "[]:1", "[::1", "[::1]x", "[::1]443", "::1", "fe80::1:443", "a:b", "a:-1", "a:65536",
        "a:+1",
        "a:99999999999999999999999", "user@host", "user:pw@host", "a b", "a/b", "a?b", "a#b", "a\\b", "a\u{0}b", "ä.de",
        "[::1]:65536", "[abc]", "]", "a]", "a[b]:1", "a:1:2", "\"a\"",
    ])
    func badAuthoritiesAreRefused(text: String) {
        text.withBytes { #expect(Authority(parsing: $0) == nil) }
    }

    @Test(arguments: [
        ("::1", "::1", ""), ("[::1", "[::1", ""), ("a:b:c", "a:b:c", ""), ("", "", ""), (":", "", ""),
        ("[]:x", "", "x"),
        ("[a]b", "a", ""),
    ])
    func splittingTakesAnythingWithoutFault(text: String, host: String, port: String) {
        text.withBytes { bytes in
            let authority = Authority(splitting: bytes)
            #expect(authority.host.string == host)
            #expect(authority.port.string == port)
        }
    }
}

extension Authority: Equatable {
    public static func == (a: Authority, b: Authority) -> Bool { a.host.equals(b.host) && a.port.equals(b.port) }
}
