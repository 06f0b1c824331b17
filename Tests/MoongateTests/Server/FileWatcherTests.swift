import Glibc
import Testing

@testable import Moongate

@Suite struct FileWatcherTests {
    /// Does the watcher report something within a second?
    private func notices(_ watcher: FileWatcher) -> Bool {
        for _ in 0..<100 {
            if watcher.changed() {
                // The rest of the same burst.
                usleep(5_000)
                while watcher.changed() {}
                return true
            }
            usleep(10_000)
        }
        return false
    }

    /// Does it stay silent for a while?
    private func isSilent(_ watcher: FileWatcher) -> Bool {
        for _ in 0..<8 {
            if watcher.changed() { return false }
            usleep(10_000)
        }
        return true
    }

    private func watch(_ paths: [String], polling: Bool) -> FileWatcher {
        let watcher = FileWatcher(polling: polling)
        #expect((watcher.file < 0) == polling)
        watcher.watch(paths)
        #expect(isSilent(watcher))
        return watcher
    }

    @Test(arguments: [false, true])
    func writingInPlaceAndRenamingOverAreNoticed(polling: Bool) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("moongate.yaml", "a")
        let watcher = watch([path], polling: polling)
        try folder.write("moongate.yaml", "bc")
        #expect(notices(watcher))
        for round in 0..<3 {
            try folder.replace("moongate.yaml", String(repeating: "x", count: round))
            #expect(notices(watcher), "round \(round)")
        }
        #expect(isSilent(watcher))
    }

    @Test(arguments: [false, true])
    func otherFilesInTheFolderDoNotMatter(polling: Bool) throws {
        let folder = try TemporaryFolder()
        let watcher = watch([try folder.write("a.yaml", "a")], polling: polling)
        try folder.write("b.yaml", "b")
        try folder.write(".a.yaml.swp", "b")
        try folder.remove("b.yaml")
        #expect(isSilent(watcher))
    }

    @Test(arguments: [false, true])
    func kubernetesSwapOfTheDataLinkIsNoticedEachTime(polling: Bool) throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("..v0")
        try folder.write("..v0/moongate.yaml", "v0")
        try folder.link("..data", to: "..v0")
        try folder.link("moongate.yaml", to: "..data/moongate.yaml")
        let watcher = watch([folder.file("moongate.yaml")], polling: polling)
        for version in 1...3 {
            try folder.makeFolder("..v\(version)")
            try folder.write("..v\(version)/moongate.yaml", "v\(version)")
            try folder.link("..data_tmp", to: "..v\(version)")
            try folder.rename("..data_tmp", "..data")
            try folder.remove("..v\(version - 1)")
            #expect(notices(watcher), "version \(version)")
        }
        try folder.write("..data/moongate.yaml", "edited behind the link")
        #expect(notices(watcher))
    }

    @Test(arguments: [false, true])
    func fileInAFolderThatDoesNotExistYetIsAwaited(polling: Bool) throws {
        let folder = try TemporaryFolder()
        let watcher = watch([folder.file("etc/moongate/policies/a.lua")], polling: polling)
        try folder.makeFolder("etc/moongate/policies")
        if !polling { #expect(notices(watcher)) }
        try folder.write("etc/moongate/policies/a.lua", "x")
        #expect(notices(watcher))
        try folder.write("etc/moongate/policies/a.lua", "xy")
        #expect(notices(watcher))
    }

    @Test(arguments: [false, true])
    func folderThatIsRemovedAndMadeAgainIsStillWatched(polling: Bool) throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("policies")
        try folder.write("policies/a.lua", "1")
        let watcher = watch([folder.file("policies/a.lua")], polling: polling)
        for round in 0..<3 {
            try folder.remove("policies")
            #expect(notices(watcher), "removed \(round)")
            try folder.makeFolder("policies")
            try folder.write("policies/a.lua", "2")
            #expect(notices(watcher), "made \(round)")
            try folder.write("policies/a.lua", "33")
            #expect(notices(watcher), "written \(round)")
        }
        try folder.makeFolder("other")
        try folder.write("other/a.lua", "444")
        try folder.rename("policies", "old")
        try folder.rename("other", "policies")
        #expect(notices(watcher))
        try folder.write("policies/a.lua", "55555")
        #expect(notices(watcher))
    }

    @Test(arguments: [false, true])
    func watchedSetCanBeReplaced(polling: Bool) throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("x")
        let first = try folder.write("x/a", "1")
        let second = try folder.write("b", "1")
        let watcher = watch([first], polling: polling)
        watcher.watch([second])
        try folder.write("x/a", "22")
        #expect(isSilent(watcher))
        try folder.write("b", "22")
        #expect(notices(watcher))
    }

    @Test func fileIsNotReportedWhileItsWriterHasItOpen() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a", "1")
        let watcher = watch([path], polling: false)
        let file = open(path, O_WRONLY | O_APPEND)
        #expect("half".withBytes { write(file, $0.base, $0.count) } == 4)
        #expect(isSilent(watcher))
        close(file)
        #expect(notices(watcher))
    }

    @Test func hardLinkEditedElsewhereIsNoticed() throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("mounted")
        let outside = try folder.write("outside", "1")
        #expect(link(outside, folder.file("mounted/a")) == 0)
        let watcher = watch([folder.file("mounted/a")], polling: false)
        try folder.write("outside", "2")
        #expect(notices(watcher))
    }

    @Test func fileThatBecomesReadableIsNoticed() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a", "1")
        #expect(chmod(path, 0) == 0)
        let watcher = watch([path], polling: false)
        #expect(chmod(path, 0o600) == 0)
        #expect(notices(watcher))
    }

    @Test func linksInACircleEnd() throws {
        let folder = try TemporaryFolder()
        try folder.link("a", to: "b")
        try folder.link("b", to: "a")
        let watcher = watch([folder.file("a")], polling: false)
        try folder.remove("a")
        try folder.write("a", "1")
        #expect(notices(watcher))
    }

    @Test func planFollowsRelativePathsAndDots() throws {
        let folder = try TemporaryFolder()
        try folder.makeFolder("x/y")
        try folder.write("x/a", "1")
        let plan = WatchPlan(paths: [folder.path + "/x/y/../././a"])
        #expect(plan.files == [folder.file("x/a")])
        #expect(plan.folders[folder.file("x")] == ["y", "a"])
        #expect(WatchPlan(paths: ["relative.yaml"]).folders.values.contains { $0.contains("relative.yaml") })
    }
}
