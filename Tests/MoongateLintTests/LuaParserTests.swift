import Foundation
import Moongate
import MoongateLint
import MoongateLua
import Testing

/// The linter's parser takes what Lua takes, and nothing else.
@Suite struct LuaParserTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../..").standardizedFileURL

    private func isLua(_ source: [UInt8]) -> Bool {
        !PolicyLint.check(source, api: PolicyAPI.lint).contains { $0.severity == .syntax }
    }

    /// Whether the real compiler takes it. Running it does not matter: the chunk returns at once.
    private func compiles(_ source: [UInt8], _ vm: LuaVM) -> Bool {
        do {
            _ = try vm.load(source, name: "x")
            return true
        } catch {
            return error.reason != .syntax
        }
    }

    private static func luaFiles() throws -> [(name: String, bytes: [UInt8])] {
        try ["policies", "examples", "Tests"].flatMap { folder in
            let place = root.appendingPathComponent(folder)
            let names = FileManager.default.enumerator(atPath: place.path)?.compactMap { $0 as? String } ?? []
            return try names.filter { $0.hasSuffix(".lua") }.sorted().map { name in
                ("\(folder)/\(name)", Array(try Data(contentsOf: place.appendingPathComponent(name))))
            }
        }
    }

    @Test func theShippedPoliciesAndTheirSpecsHaveNoFindings() throws {
        let files = try LuaParserTests.luaFiles().filter {
            $0.name.hasPrefix("policies/") || $0.name.hasPrefix("examples/")
        }
        #expect(files.count >= 10)
        for (name, bytes) in files {
            let found = PolicyFileLint.check(bytes, path: name)
            #expect((found.errors + found.warnings).map(\.description) == [])
        }
    }

    @Test(arguments: [
        "x = 0x1p4 y = .5 z = 3. w = 1e+5 v = 0xA.8p-1", "x = [==[ ]=] ]==] --[[ c\n]] y = 1",
        "x = '\\x41\\u{7FFFFFFF}\\065\\z  a'",
        "local t <close>, u <const> = nil, 1", "goto a do goto a end ::a::", "f{1}[2]'x':y\"z\"", "return", "return;",
        ";;;",
        "do local x end while x do break end", "for i = 1, 2 do for k in pairs{} do break end end",
        "x.y.z, a[1] = 1, ...", "local function f(...) return ... end", "function a.b.c:d(x, ...) end",
        "repeat local x = 1 until x", "x = -2 ^ -3 .. 'a' .. #t and not b or ~c", "x = 1 // 2 & 3 | 4 ~ 5 << 6 >> 7",
        "x = {1, 2; a = 3, ['b'] = 4, f()}", "x = (f())", "(f or g)(1)",
    ])
    func whatIsLuaIsTaken(source: String) throws {
        #expect(isLua(Array(source.utf8)))
        #expect(compiles(Array(source.utf8), try LuaVM()))
    }

    @Test(arguments: [
        "x", "x =", "= 1", "x = = 2", "f(", "if x", "if x then", "end", "x = 'a", "x = [[a", "--[[ a", "x = 1..2",
        "x = 3x",
        "x = 0x", "x = '\\q'", "x = '\\300'", "x = '\\xZZ'", "x = '\\u{80000000}'", "break", "goto a", "::a:: ::a::",
        "local x <foo> = 1", "local x <const> = 1 x = 2", "local a <close>, b <close> = 1, 2", "(f)() = 1", "(a) = 1",
        "f() = 1",
        "function f() return ... end", "return 1 x = 2", "x = }", "x = {1 2}", "for x do end", "for a.b = 1, 2 do end",
        "local function a.b() end", "x = a.1", "x:y", "x:y = 1", "x = 1 + ", "x = @", "x = 1e", "local 5 = 1", "do",
        "function () end", "x = function f() end", "x, y", "a.b:c.d()", "x = \"a\nb\"",
    ])
    func whatIsNotIsRefused(source: String) throws {
        #expect(!isLua(Array(source.utf8)), "\(source)")
        #expect(!compiles(Array(source.utf8), try LuaVM()), "\(source)")
    }

    @Test func deepNestingIsRefusedAndNotFatal() {
        for (open, close) in [
            ("(", ")"), ("{", "}"), ("do ", " end"), ("function f() ", " end"), ("- ", ""), ("x^", ""),
        ] {
            let text = "x = 1 " + (open.hasPrefix("d") || open.hasPrefix("f") ? "" : "x = ")
            let deep = text + String(repeating: open, count: 100_000) + "1" + String(repeating: close, count: 100_000)
            #expect(!isLua(Array(deep.utf8)))
        }
    }

    /// Mutations of real policies: the two agree on every one.
    @Test func mutatedPoliciesAreJudgedAsLuaDoes() throws {
        var generator = SystemRandomNumberGenerator()
        let files = try LuaParserTests.luaFiles().filter { $0.name.hasPrefix("policies/") }.map(\.bytes)
        let pieces = [
            "end", "(", ")", "{", "}", "local ", "=", ",", "..", "...", "'", "\"", "[[", "]]", "function ", " then ",
            "\n", "--",
            "::a::", "goto a ", "~", "//", ":", ".", "1", "0x", "\\", "return ", "break ", "<const>", "not ", "\0", "é",
        ].map { Array($0.utf8) }
        let vm = try LuaVM()
        for round in 0..<2000 {
            guard let source = files.randomElement(using: &generator) else { return }
            var mutated = source.prefix(Int.random(in: 0...source.count, using: &generator)).map { $0 }
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                let place = Int.random(in: 0...mutated.count, using: &generator)
                if Bool.random(using: &generator), let piece = pieces.randomElement(using: &generator) {
                    mutated.insert(contentsOf: piece, at: place)
                } else {
                    let last = min(mutated.count, place + Int.random(in: 0...8, using: &generator))
                    mutated.removeSubrange(place..<last)
                }
            }
            // Nothing of it is to run.
            mutated = Array("do return end ".utf8) + mutated
            let (ours, theirs) = (isLua(mutated), compiles(mutated, vm))
            #expect(ours == theirs, "round \(round): \(String(decoding: mutated, as: UTF8.self))")
            if ours != theirs { return }
        }
    }

    @Test func randomBytesAreReadWithoutHarm() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<3000 {
            let count = Int.random(in: 0...200, using: &generator)
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            _ = PolicyLint.check(bytes, api: PolicyAPI.lint)
        }
    }
}
