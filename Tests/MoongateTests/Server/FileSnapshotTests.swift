import Glibc
import Testing

@testable import Moongate

@Suite struct FileSnapshotTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func fileIsReadOnceAndKept() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a", "one")
        let reader = FileSnapshotReader()
        #expect(text(try reader.read(path, as: .configuration)) == "one")
        try folder.write("a", "two!")
        #expect(text(try reader.read(path, as: .configuration)) == "one")
        #expect(reader.snapshot.changedPaths() == [path])
    }

    @Test func untouchedFilesHaveNotChanged() throws {
        let folder = try TemporaryFolder()
        let reader = FileSnapshotReader()
        _ = try reader.read(folder.write("a", "one"), as: .configuration)
        #expect(!reader.exists(folder.file("none")))
        #expect(throws: FileFault.self) { try reader.read(folder.file("nothing"), as: .configuration) }
        #expect(reader.snapshot.changedPaths() == [])
        #expect(reader.snapshot.paths == ["a", "none", "nothing"].map(folder.file))
    }

    @Test func secondChangeOfEqualSizeWithinOneClockTickIsSeen() throws {
        let folder = try TemporaryFolder()
        for round in 0..<50 {
            let reader = FileSnapshotReader()
            _ = try reader.read(folder.write("a", "one"), as: .configuration)
            try folder.write("a", "two")
            #expect(reader.snapshot.changedPaths() == [folder.file("a")], "round \(round)")
        }
    }

    @Test func fileThatAppearsOrGoesHasChanged() throws {
        let folder = try TemporaryFolder()
        let reader = FileSnapshotReader()
        _ = try reader.read(folder.write("gone", "x"), as: .configuration)
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
        _ = try reader.read(folder.file("..data/a"), as: .configuration)
        try folder.link("..tmp", to: "v2")
        try folder.rename("..tmp", "..data")
        #expect(reader.snapshot.changedPaths() == [folder.file("..data/a")])
    }

    @Test func whatIsNoFileIsRefusedWithoutWaiting() throws {
        let folder = try TemporaryFolder()
        #expect(mkfifo(folder.file("pipe"), 0o600) == 0)
        let reader = FileSnapshotReader()
        #expect(throws: FileFault.noRegularFile(path: folder.file("pipe"))) {
            try reader.read(folder.file("pipe"), as: .configuration)
        }
        #expect(throws: FileFault.noRegularFile(path: folder.path)) { try reader.read(folder.path, as: .configuration) }
        #expect(throws: FileFault.system(SystemError("open \(folder.file("no"))", code: ENOENT))) {
            try reader.read(folder.file("no"), as: .configuration)
        }
    }

    @Test(arguments: FileUse.allCases)
    func whatEverybodyMayWriteIsNotReadWhateverItIsFor(use: FileUse) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a", "one")
        chmod(path, 0o602)
        let reader = FileSnapshotReader()
        #expect(throws: FileFault.everybodyMayWrite(path: path, use: use)) { try reader.read(path, as: use) }
        #expect(reader.snapshot.entries[path]?.content == nil)
        #expect(SensitiveFiles(reader.snapshot).faults.map(\.message) == ["\(use.rawValue) that everybody may write"])
        chmod(path, 0o600)
        #expect(reader.snapshot.changedPaths() == [path], "mending it is a change")
        #expect(text(try FileSnapshotReader().read(path, as: use)) == "one")
    }

    @Test func onlyWhatIsSecretMayNotBeReadByAll() throws {
        let folder = try TemporaryFolder()
        let hash = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
        for use in FileUse.allCases {
            for (content, isHash) in [("plain", false), ("ada: \(hash)", true)] {
                let path = try folder.write("a", content)
                chmod(path, 0o644)
                let reader = FileSnapshotReader()
                _ = try reader.read(path, as: use)
                let isSecret = use == .secret || use == .privateKey
                let kind = isSecret ? use.rawValue : "password hashes"
                #expect(
                    SensitiveFiles(reader.snapshot).warnings.map(\.message)
                        == (isSecret || isHash ? ["\(kind) that everybody may read"] : []))
            }
        }
    }

    @Test func aFileKeepsAllItsUses() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a", "one")
        let reader = FileSnapshotReader()
        _ = try reader.read(path, as: .policyData)
        _ = try reader.read(path, as: .secret)
        #expect(reader.snapshot.entries[path]?.uses == [.policyData, .secret])
    }

    @Test func noFileIsLargerThanItsLimit() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a", "")
        #expect(truncate(path, FileFault.limit) == 0)
        #expect(try FileSnapshotReader().read(path, as: .certificate).count == 16 << 20)
        #expect(truncate(path, FileFault.limit + 1) == 0)
        #expect(throws: FileFault.tooLarge(path: path)) { try FileSnapshotReader().read(path, as: .certificate) }
    }

    @Test func contentIsComparedWithoutTimes() throws {
        let folder = try TemporaryFolder()
        func snapshot(_ content: String) throws -> FileSnapshot {
            let reader = FileSnapshotReader()
            _ = try reader.read(folder.write("a", content), as: .configuration)
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
            let first = text(try reader.read(folder.file("a"), as: .configuration))
            if tries == 1 {
                // Another program updates both.
                try folder.write("a", "2")
                try folder.write("b", "2")
            }
            return first + text(try reader.read(folder.file("b"), as: .configuration))
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
            let content = text(try reader.read(folder.file("a"), as: .configuration))
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
            _ = try reader.read(folder.file("a"), as: .configuration)
            text += "x"
            try folder.write("a", text)
        }
        #expect(text == "xxx")
        #expect(throws: UnstableFiles(paths: [folder.file("a")])) { try attempt.result.get() }
    }
}
