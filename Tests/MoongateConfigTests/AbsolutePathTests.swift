import Foundation
import Testing

@testable import MoongateConfig

@Suite struct AbsolutePathTests {
    @Test(arguments: [
        ("moongate.yaml", "/srv/conf/moongate.yaml", "/srv/conf"),
        ("./moongate.yaml", "/srv/conf/moongate.yaml", "/srv/conf"),
        (".//./moongate.yaml", "/srv/conf/moongate.yaml", "/srv/conf"),
        ("sub/moongate.yaml", "/srv/conf/sub/moongate.yaml", "/srv/conf/sub"),
        ("../moongate.yaml", "/srv/conf/../moongate.yaml", "/srv/conf/.."),
        ("sub/./m.yaml", "/srv/conf/sub/./m.yaml", "/srv/conf/sub"), ("/m.yaml", "/m.yaml", "/"),
        ("/etc//m.yaml", "/etc//m.yaml", "/etc"), ("~/m.yaml", "/srv/conf/~/m.yaml", "/srv/conf/~"),
        (".", "/srv/conf", "/srv"),
        ("./", "/srv/conf", "/srv"),
    ])
    func pathsBecomeAbsoluteOnce(given: String, text: String, folder: String) throws {
        let path = try #require(AbsolutePath(given, in: "/srv/conf"))
        #expect(path.text == text && path.folder == folder)
        #expect(path.description == given)
    }

    @Test func theFolderMayBeTheRoot() throws {
        #expect(try #require(AbsolutePath("m.yaml", in: "/")).text == "/m.yaml")
        #expect(try #require(AbsolutePath("m.yaml", in: "/")).folder == "/")
    }

    @Test func whatCannotBeMadeAbsoluteIsNone() {
        for text in ["", "a\0b"] { #expect(AbsolutePath(text) == nil) }
        #expect(AbsolutePath("m.yaml", in: "") == nil)
        let name = "m.yaml"
        #expect(AbsolutePath(name)?.text == FileManager.default.currentDirectoryPath + "/m.yaml")
    }

    @Test func filesOfAFolderAreShownAsTheFolderWas() throws {
        #expect(try #require(AbsolutePath(".", in: "/w")).appending("a_spec.lua").given == "a_spec.lua")
        let path = try #require(AbsolutePath("policies/", in: "/w")).appending("a/b.lua")
        #expect(path.given == "policies/a/b.lua" && path.text == "/w/policies/a/b.lua")
    }
}
