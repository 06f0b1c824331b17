import Testing

@testable import Moongate

@Suite struct AdminRequestTests {
    private func parse(_ text: String) -> AdminRequest.ParseResult { AdminRequest.parse(Array(text.utf8)) }

    private let get = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test func completeHeadIsARequest() {
        #expect(
            parse(get + "GET /x")
                == .request(
                    AdminRequest(method: "GET", path: "/metrics", keepAlive: true, host: "a"), length: get.utf8.count))
        let head = "\r\nHEAD /ready?x=1 HTTP/1.1\r\nhost:\r\nConnection: foo, Close\r\n\r\n"
        #expect(
            parse(head)
                == .request(
                    AdminRequest(method: "HEAD", path: "/ready", query: "x=1", keepAlive: false, host: ""),
                    length: head.utf8.count))
    }

    @Test func everyBeginningNeedsMore() {
        for length in 0..<get.utf8.count {
            #expect(AdminRequest.parse(Array(get.utf8.prefix(length))) == .needMore)
        }
    }

    @Test func http10ClosesUnlessAskedNotTo() {
        guard case .request(let plain, _) = parse("GET /live HTTP/1.0\r\n\r\n"),
            case .request(let kept, _) = parse("GET /live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        else {
            Issue.record("no request")
            return
        }
        #expect(!plain.keepAlive)
        #expect(kept.keepAlive)
    }

    @Test(arguments: [
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / FTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ])
    func whatIsNotARequestIsRefused(_ text: String) {
        #expect(parse(text) == .refused(.badRequest))
    }

    @Test func otherMethodsAndVersionsHaveTheirOwnStatus() {
        #expect(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc") == .refused(.methodNotAllowed))
        #expect(parse("get / HTTP/1.1\r\nHost: a\r\n\r\n") == .refused(.methodNotAllowed))
        #expect(parse("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == .refused(.versionNotSupported))
    }

    @Test func headThatNeverEndsIsRefused() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let filler = { (count: Int) in String(repeating: "x", count: count - head.utf8.count) }
        #expect(parse(head + filler(8191)) == .needMore)
        #expect(parse(head + filler(8192)) == .refused(.headersTooLarge))
        #expect(parse(head + filler(8188) + "\r\n\r\n") != .refused(.headersTooLarge))
        #expect(parse(head + filler(8189) + "\r\n\r\n") == .refused(.headersTooLarge))
    }

    @Test func noInputBreaksTheParser() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("GET /\r\n: HTTP/1.1host\0\u{80}".utf8)
        for _ in 0..<5_000 {
            let text = (0..<Int.random(in: 0..<60, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator) ?? 0
            }
            _ = AdminRequest.parse(text + [13, 10, 13, 10])
        }
    }
}
