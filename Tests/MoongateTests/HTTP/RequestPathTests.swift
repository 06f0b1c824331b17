import Testing

@testable import Moongate

@Suite struct RequestPathTests {
    @Test(arguments: [
        "/", "/a", "/helloworld.Greeter/SayHello", "/a/", "//", "//a//b", "/a.b", "/...", "/.a", "/..a", "/a..",
        "/a./b",
        "/.well-known/x", "/a?../b", "/a?x=/../", "/a%2fb", "/%41", "/%", "/%2", "/%2e%2e%2e", "/%2ea", "/a?x=%00",
        "/.%2ex",
        "/%0", "/a%",
    ])
    func isFine(path: String) {
        #expect(path.withBytesForTest { RequestPath.fault($0) } == nil)
    }

    @Test(arguments: [
        ("/.", "dot segments"), ("/..", "dot segments"), ("/./", "dot segments"), ("/a/../b", "dot segments"),
        ("/a/..", "dot segments"), ("/a/.?x", "dot segments"), ("/%2e", "dot segments"),
        ("/a/%2E%2e/b", "dot segments"),
        ("/a/.%2e", "dot segments"), ("/%2e./", "dot segments"), ("/a#b", "fragment"), ("/a?b#c", "fragment"),
        ("/#", "fragment"), ("/a\\b", "backslash"), ("/a%00", "NUL"), ("/%00/x", "NUL"),
    ])
    func isRefused(path: String, reason: String) {
        #expect(path.withBytesForTest { RequestPath.fault($0) }?.contains(reason) == true)
    }
}

extension String {
    fileprivate func withBytesForTest<Result>(_ body: (Bytes) -> Result) -> Result {
        let octets = Array(utf8)
        return octets.withBytes(body)
    }
}
