import Testing

@testable import Moongate

@Suite struct LuaFunctionTypeTests {
    @Test func parametersAndResultsAreKeptApart() throws {
        let type = try LuaFunctionType(parsing: "(name: string, index?: integer, ...: any): string?, Headers[]")
        #expect(type.parameters.map(\.name) == ["name", "index", "..."])
        #expect(type.parameters.map(\.isOptional) == [false, true, false])
        #expect(type.parameters.map(\.type) == ["string", "integer", "any"])
        #expect(type.results == ["string?", "Headers[]"])
        #expect(type.names == ["string", "integer", "any", "string", "Headers"])
    }

    @Test(arguments: [
        "()", "(): nil", "(a: table<string, string|(string|number)[]>)", "(f: fun(handle: Handle): boolean?, string)",
        "(o: { rate: number, key?: string, [integer]: any })", "(s: \"a\"|\"b c\"): 0|1",
    ])
    func whatLuaCATSAllowsIsRead(text: String) throws { _ = try LuaFunctionType(parsing: text) }

    @Test(arguments: [
        "", "string", "(", "(name)", "(name: )", "(a: string,)", "(): ", "(a: table<string)", "(end: string)",
        "(a: string) string", "(): string |", "(..: any)", "(a: string[)", "(a: { b })", "(a: \"b)", "(): string,",
    ])
    func whatItDoesNotIsRefused(text: String) {
        #expect(throws: LuaTypeFault.self) { try LuaFunctionType(parsing: text) }
    }
}
