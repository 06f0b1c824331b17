import Testing

@testable import Moongate

@Suite struct PathKeyTests {
    private func key(_ path: String, _ reading: PathKey.Reading = []) -> String {
        Array(path.utf8).withBytes { PathKey.withKey($0, reading) { $0.string } }
    }

    @Test(arguments: [
        ("/a/b", "/a/b"), ("/a%3Ab", "/a:b"), ("/a:b", "/a:b"), ("/a%3ab", "/a:b"), ("/%22%5B%7C", "/\"[|"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%2fb", "/a%2Fb"), ("/%25%3f%23%5c%20%c3%a9", "/%25%3F%23%5C%20%C3%A9"), ("/a;b=c/d;e", "/a/d"),
        ("/a%3Bb/c", "/a/c"),
        ("/;x/a", "/a"), ("/a;b%2Fc", "/a"), ("//a//b/", "/a/b/"), ("/%", "/%"), ("/%zz%4", "/%zz%4"), ("", ""),
    ])
    func pathsAreComparedByOneSpelling(path: String, expected: String) {
        #expect(key(path) == expected)
    }

    @Test func aServersReadingMayDiffer() {
        #expect(key("/a;b/c", .withParameters) == "/a;b/c")
        #expect(key("/a%3Bb/c", .withParameters) == "/a;b/c")
        #expect(key("/a%2Fb%2f%2Fc", .decodedSlash) == "/a/b/c")
        #expect(key("/a;x%2Fb", .decodedSlash) == "/a/b")
        #expect(key("/a%3Fb/c", .decodedEnd) == "/a")
        #expect(key("/a%2Fb%23c", [.decodedSlash, .decodedEnd]) == "/a/b")
        #expect(key("/a;x%3Fb", .decodedEnd) == "/a")
    }
}
