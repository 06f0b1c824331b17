import CMoongate
import Glibc
import Testing

@testable import MoongateLua

/// Other threads see where a script is that runs for long.
@Suite(.disabled(if: mg_guard_is_held_back(), "ThreadSanitizer holds signals back"), .serialized) struct LuaPlaceTests {
    /// Burns CPU time of its thread within one call of C, and notes what another thread would see at its end.
    private final class Observer {
        let place = mg_place_new()
        deinit { mg_place_free(place) }

        var seen: String? {
            guard let place else { return nil }
            var (file, hook, line) = ([CChar](repeating: 0, count: 64), [CChar](repeating: 0, count: 64), Int32(0))
            guard mg_place_read(place, &file, &hook, 64, &line) else { return nil }
            return "\(text(file)):\(line) of \(text(hook))"
        }

        private func text(_ name: [CChar]) -> String {
            String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    /// Burns CPU time of its thread until others see where it is, or for ten seconds: on a busy machine ticks are rare.
    private static func burn() {
        var (began, now) = (timespec(), timespec())
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began)
        repeat {
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
        } while now.tv_sec - began.tv_sec < 10 && observer?.seen == nil
    }

    nonisolated(unsafe) private static var observer: Observer?
    nonisolated(unsafe) private static var seen: [String?] = []

    /// `place.burn()`: a long call of C. `place.look()`: what others see.
    private func run(_ source: String, milliseconds: UInt32) throws -> [String?] {
        let observer = Observer()
        LuaPlaceTests.observer = observer
        LuaPlaceTests.seen = []
        mg_place_note(observer.place)
        defer {
            mg_place_note(nil)
            LuaPlaceTests.observer = nil
        }
        let bench = try LuaBench(milliseconds: milliseconds)
        try bench.vm.define(
            library: "place",
            bindings: [
                LuaBinding("burn", "", type: "()", doc: "") { _ in
                    LuaPlaceTests.burn()
                    LuaPlaceTests.seen.append(LuaPlaceTests.observer?.seen)
                    return MG_RETURN
                },
                LuaBinding("look", "", type: "()", doc: "") { _ in
                    LuaPlaceTests.seen.append(LuaPlaceTests.observer?.seen)
                    return MG_RETURN
                },
            ])
        try bench.run(source)
        LuaPlaceTests.seen.append(observer.seen)
        return LuaPlaceTests.seen
    }

    @Test func callOfCThatTakesLongIsSeenFromOutside() throws {
        let seen = try run("function hook()\n  place.look()\n  place.burn()\nend", milliseconds: 20)
        #expect(seen == [nil, "test.lua:3 of test.lua", nil])
    }

    @Test func scriptThatMayRunForLongIsSeenByItsLine() throws {
        let seen = try run(
            "function hook()\n  for i = 1, 4e8 do\n    local x = 1\n  end\n  place.look()\nend",
            milliseconds: 60_000)
        #expect(seen.count == 2)
        let line = try #require(seen[0])
        #expect(["test.lua:2 of test.lua", "test.lua:3 of test.lua"].contains(line))
        #expect(seen[1] == nil)
    }

    @Test func shortRunsLeaveNothing() throws {
        #expect(
            try run("function hook()\n  for i = 1, 100 do place.look() end\nend", milliseconds: 50).allSatisfy {
                $0 == nil
            })
    }
}
