import Glibc
import Testing

@testable import Moongate

@Suite struct ChildProcessesTests {
    private func spawn(_ script: String) throws -> pid_t {
        var process: pid_t = 0
        let texts: [String] = ["sh", "-c", script]
        var arguments: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        try #require(posix_spawn(&process, "/bin/sh", nil, nil, &arguments, environ) == 0)
        return process
    }

    private func eventually(_ children: inout ChildProcesses, at now: Instant) -> [ChildProcesses.End] {
        for _ in 0..<500 {
            let ends = children.look(at: now)
            if !ends.isEmpty { return ends }
            usleep(10_000)
        }
        return []
    }

    @Test func childThatEndsIsWaitedFor() throws {
        var children = ChildProcesses()
        let process = try spawn("exit 7")
        children.add(process)
        let ends = eventually(&children, at: 0)
        #expect(ends.map(\.process) == [process])
        #expect(ends.first?.text == ", with code 7")
        #expect(children.isEmpty)
        #expect(kill(process, 0) == -1 && errno == ESRCH)
    }

    @Test func childThatDoesNotListenIsKilledAfterTheGrace() throws {
        var children = ChildProcesses()
        // Says by a file that it has set its trap: shells know no descriptors beyond 9.
        let folder = try TemporaryFolder()
        let process = try spawn("trap '' TERM; : > '\(folder.file("trapped"))'; while :; do sleep 1; done")
        for _ in 0..<5000 where access(folder.file("trapped"), F_OK) != 0 { usleep(2000) }
        #expect(access(folder.file("trapped"), F_OK) == 0)
        children.add(process)
        children.end(process, at: 1000)
        // Asked again it is no other moment.
        children.end(process, at: 2000)
        let deadline = 1000 + ChildProcesses.grace.nanoseconds
        #expect(children.deadline == deadline)
        #expect(children.look(at: deadline - 1) == [])
        #expect(children.deadline == deadline)
        let killed = children.look(at: deadline) + eventually(&children, at: deadline)
        #expect(killed.map(\.text) == [", by signal 9"])
        #expect(children.deadline == nil && children.isEmpty)
    }

    @Test func childOfNobodyIsForgotten() throws {
        var children = ChildProcesses()
        let process = try spawn("exit 0")
        var status: Int32 = 0
        #expect(waitpid(process, &status, 0) == process)
        children.add(process)
        #expect(children.look(at: 0) == [ChildProcesses.End(process: process, status: nil)])
        #expect(children.isEmpty)
    }
}
