import CMoongate
import MoongateLua

/// `moon.json`.
enum JSONBinding {
    /// Names of constants that are JSON's null.
    static var nulls: [StaticString] { ["json.null"] }

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "json.encode", "v", type: "(value: any): string",
                doc: """
                    The value as JSON, names in order. Tables with the keys 1…n are arrays, tables with texts as keys \
                    objects; an empty table is an object unless `moon.json.array` made it. `nil` and `moon.json.null` are \
                    null. Raises an error for anything else, such as functions, NaN and texts that are not UTF-8.
                    """, encode),
            LuaBinding(
                "json.decode", "s", type: "(text: string): any, string?",
                doc: """
                    The value of a JSON text (RFC 8259), or nil and what is wrong with it. null is `moon.json.null`, whole \
                    numbers are integers, arrays stay arrays when they are encoded again. Bounds: 1 MiB, 32 levels.
                    """, decode),
            LuaBinding(
                "json.array", "t?", type: "(list?: table): table",
                doc: """
                    Marks a table as an array, or makes an empty one: `moon.json.encode(moon.json.array{})` is `[]`.
                    """, array),
        ]
    }

    private static let encode: mg_leaf = { call in
        var writer = JSONWriter(within: call.limit)
        do throws(JSONFault) {
            try writer.write(TapeView(argument: 0, of: call))
        } catch {
            return call.failOrLeave(error.text)
        }
        return call.give(copyOf: writer.text)
    }

    private static let decode: mg_leaf = { call in
        let text = call.bytes(0)
        guard let room = mg_call_scratch(call, max(1, text.count)) else { return call.fail("not enough memory") }
        var reader = JSONReader(text, to: call.pointee.output, room: room, within: call.limit)
        do throws(JSONFault) {
            try reader.read()
            return MG_RETURN
        } catch {
            return call.limit.isExceeded ? call.leave() : call.refuse(error.description)
        }
    }

    private static let array: mg_leaf = { call in
        call.giveMark(MG_MARKED)
        return MG_RETURN
    }
}
