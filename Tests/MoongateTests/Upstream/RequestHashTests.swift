import MoongateConfig
import Testing

@testable import Moongate

@Suite struct RequestHashTests {
    private func answer(
        _ sources: [HashSource], _ fields: [(String, String)], client: String? = "10.1.2.3:4000", gives: Bool = true
    ) -> RequestHash.Answer {
        let list = HeaderList()
        defer { list.destroy() }
        for (name, value) in fields {
            name.withBytes { name in value.withBytes { list.add(name: name, value: $0) } }
        }
        let peer = client.flatMap { SocketAddress($0) }.map { PeerAddress($0) }
        defer { peer?.free() }
        return RequestHash(sources).answer(list, client: peer.map { ClientAddress($0) }, givesCookies: gives)
    }

    private func hash(_ text: String) -> RequestHash.Answer { .hash(text.withBytes { StableHash.hash($0) }) }

    @Test func theFirstSourceThatIsThereCounts() {
        let sources: [HashSource] = [.header("x-user"), .queryParameter("user"), .sourceAddress]
        #expect(answer(sources, [(":path", "/a?user=q"), ("x-user", "h"), ("x-user", "i")]) == hash("h"))
        #expect(answer(sources, [(":path", "/a?x=1&user=q&user=r")]) == hash("q"))
        #expect(answer(sources, [(":path", "/a?other=q")]) == answer([.sourceAddress], []))
        #expect(answer(sources, [(":path", "/a")], client: nil) == .none)
    }

    @Test func sourceAddressLeavesThePortOut() {
        let one = answer([.sourceAddress], [], client: "10.1.2.3:1")
        #expect(one == answer([.sourceAddress], [], client: "10.1.2.3:2"))
        #expect(one != answer([.sourceAddress], [], client: "10.1.2.4:1"))
    }

    @Test func queryEndsAtItsEnd() {
        let sources: [HashSource] = [.queryParameter("u")]
        #expect(answer(sources, [(":path", "/a?u=")]) == hash(""))
        #expect(answer(sources, [(":path", "/a?u=1#x")]) == hash("1"))
        for path in ["/a?", "/a?&&", "/a?u", "/a?uu=1", "/a#?u=1", ""] {
            let expected: RequestHash.Answer = path == "/a#?u=1" ? hash("1") : .none
            #expect(answer(sources, [(":path", path)]) == expected, "\(path)")
        }
    }

    @Test func cookieIsFoundInAnyField() {
        let sources: [HashSource] = [.cookie(HashCookie(name: "s"))]
        #expect(answer(sources, [("cookie", "a=1; s=two; t=3")]) == hash("two"))
        #expect(answer(sources, [("cookie", "a=1"), ("cookie", "s=two")]) == hash("two"))
        #expect(answer(sources, [("cookie", "as=1; s; S=2")]) == .none)
    }

    @Test func aMissingCookieIsGivenWhereItHasALife() {
        let sources: [HashSource] = [.cookie(HashCookie(name: "s", ttl: .seconds(60))), .sourceAddress]
        #expect(answer(sources, []) == .needsCookie)
        #expect(answer(sources, [("cookie", "s=x")]) == hash("x"))
        // Requests of our own have nobody to keep it.
        #expect(answer(sources, [], client: nil, gives: false) == .none)
    }

    @Test(arguments: [
        (HashCookie(name: "s", ttl: .seconds(3600)), "s=00000000000000ff; Max-Age=3600; Path=/; HttpOnly"),
        (HashCookie(name: "s", ttl: .zero, path: "/a"), "s=00000000000000ff; Path=/a; HttpOnly"),
        (HashCookie(name: "s", ttl: .milliseconds(5)), "s=00000000000000ff; Max-Age=1; Path=/; HttpOnly"),
    ])
    func cookieIsWrittenWithItsAttributes(cookie: HashCookie, expected: String) throws {
        let hashing = RequestHash([.header("x"), .cookie(cookie), .cookie(HashCookie(name: "t", ttl: .zero))])
        var text = ""
        try #require(hashing.cookie).withText(255) { text = $0.string }
        #expect(text == expected)
        #expect(.hash(RequestHash.hash(cookie: 255)) == hash("00000000000000ff"))
    }
}
