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

extension RequestPathTests {
    /// Paths are looked at eight octets at a time.
    @Test(arguments: 1..<40) func anythingIsFoundWhereverItStands(length: Int) {
        let before = "/" + String(repeating: "a", count: length)
        for behind in ["", "b", "/bcdefghijkl", "/b.c/d"] {
            for bad in ["/..", "/.", "/%2e.", "#", "\\", "%00"] {
                let path = before + bad + (bad.hasPrefix("/") && !behind.hasPrefix("/") ? "" : behind)
                #expect(path.withBytesForTest { RequestPath.fault($0) } != nil, "\(path)")
            }
            for good in ["/..x", ".", "/b", "%20", "/...", "//"] {
                let path = before + good + behind
                #expect(path.withBytesForTest { RequestPath.fault($0) } == nil, "\(path)")
            }
        }
    }
}

extension String {
    fileprivate func withBytesForTest<Result>(_ body: (Bytes) -> Result) -> Result {
        let octets = Array(utf8)
        return octets.withBytes(body)
    }
}
