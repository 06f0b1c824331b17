import Glibc
import Testing

@testable import Moongate

@Suite struct FileSnapshotTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func fileIsReadOnceAndKept() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a", "one")
        let reader = FileSnapshotReader()
        #expect(text(try reader.read(path)) == "one")
        try folder.write("a", "two!")
        #expect(text(try reader.read(path)) == "one")
        #expect(reader.snapshot.changedPaths() == [path])
    }

    @Test func untouchedFilesHaveNotChanged() throws {
        let folder = try TemporaryFolder()
        let reader = FileSnapshotReader()
        _ = try reader.read(folder.write("a", "one"))
        #expect(!reader.exists(folder.file("none")))
        #expect(throws: SystemError.self) { try reader.read(folder.file("nothing")) }
        #expect(reader.snapshot.changedPaths() == [])
        #expect(reader.snapshot.paths == ["a", "none", "nothing"].map(folder.file))
    }

    @Test func secondChangeOfEqualSizeWithinOneClockTickIsSeen() throws {
        let folder = try TemporaryFolder()
        for round in 0..<50 {
            let reader = FileSnapshotReader()
            _ = try reader.read(folder.write("a", "one"))
            try folder.write("a", "two")
            #expect(reader.snapshot.changedPaths() == [folder.file("a")], "round \(round)")
        }
    }

    @Test func fileThatAppearsOrGoesHasChanged() throws {
        let folder = try TemporaryFolder()
        let reader = FileSnapshotReader()
        _ = try reader.read(folder.write("gone", "x"))
        _ = reader.exists(folder.file("new"))
        try folder.remove("gone")
        try folder.write("new", "")
        #expect(reader.snapshot.changedPaths() == [folder.file("gone"), folder.file("new")])
    }

    @Test func linkThatTurnsElsewhereHasChanged() throws {
        let folder = try TemporaryFolder()
        for version in ["v1", "v2"] {
            try folder.makeFolder(version)
            try folder.write(version + "/a", "same")
        }
        try folder.link("..data", to: "v1")
        let reader = FileSnapshotReader()
        _ = try reader.read(folder.file("..data/a"))
        try folder.link("..tmp", to: "v2")
        try folder.rename("..tmp", "..data")
        #expect(reader.snapshot.changedPaths() == [folder.file("..data/a")])
    }

    @Test func whatIsNoFileIsRefusedWithoutWaiting() throws {
        let folder = try TemporaryFolder()
        #expect(mkfifo(folder.file("pipe"), 0o600) == 0)
        let reader = FileSnapshotReader()
        #expect(throws: SystemError("read \(folder.file("pipe"))", code: EINVAL)) {
            try reader.read(folder.file("pipe"))
        }
        #expect(throws: SystemError("read \(folder.path)", code: EISDIR)) { try reader.read(folder.path) }
        #expect(throws: SystemError("open \(folder.file("no"))", code: ENOENT)) {
            try reader.read(folder.file("no"))
        }
    }

    @Test func contentIsComparedWithoutTimes() throws {
        let folder = try TemporaryFolder()
        func snapshot(_ content: String) throws -> FileSnapshot {
            let reader = FileSnapshotReader()
            _ = try reader.read(folder.write("a", content))
            _ = reader.exists(folder.file("b"))
            return reader.snapshot
        }
        let first = try snapshot("one")
        usleep(20_000)
        #expect(try snapshot("one").hasSameContent(as: first))
        #expect(try !snapshot("two").hasSameContent(as: first))
        try folder.write("b", "")
        #expect(try !snapshot("one").hasSameContent(as: first))
    }

    @Test func everythingIsReadAgainWhenAFileChangesMeanwhile() throws {
        let folder = try TemporaryFolder()
        try folder.write("a", "1")
        try folder.write("b", "1")
        var tries = 0
        let attempt = FileSnapshot.consistent(pause: 1000) { reader in
            tries += 1
            let first = text(try reader.read(folder.file("a")))
            if tries == 1 {
                // Another program updates both.
                try folder.write("a", "2")
                try folder.write("b", "2")
            }
            return first + text(try reader.read(folder.file("b")))
        }
        #expect(try attempt.result.get() == "22")
        #expect(tries == 2)
        #expect(attempt.snapshot.changedPaths() == [])
    }

    @Test func faultOfAHalfWrittenFileIsNoFault() throws {
        struct Bad: Error {}
        let folder = try TemporaryFolder()
        try folder.write("a", "half")
        var tries = 0
        let attempt = FileSnapshot.consistent(pause: 1000) { reader in
            tries += 1
            let content = text(try reader.read(folder.file("a")))
            guard content == "whole" else {
                try folder.write("a", "whole")
                throw Bad()
            }
            return content
        }
        #expect(try attempt.result.get() == "whole")
        #expect(tries == 2)
    }

    @Test func filesThatNeverRestAreAnError() throws {
        let folder = try TemporaryFolder()
        try folder.write("a", "")
        var text = ""
        let attempt = FileSnapshot.consistent(tries: 3, pause: 1000) { reader in
            _ = try reader.read(folder.file("a"))
            text += "x"
            try folder.write("a", text)
        }
        #expect(text == "xxx")
        #expect(throws: UnstableFiles(paths: [folder.file("a")])) { try attempt.result.get() }
    }
}
