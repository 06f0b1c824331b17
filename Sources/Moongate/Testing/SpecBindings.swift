import CMoongate
import Foundation
import MoongateLua

/// What the Lua part of `moongate test` calls.
enum SpecBindings {
    static var all: [LuaBinding] {
        [
            LuaBinding(
                "source", "", type: "(): string, string", doc: "The spec's text and what errors call it.", source),
            LuaBinding("add", "ti", type: "(names: string[], line: integer)", doc: "There is a test.", add),
            LuaBinding("current", "", type: "(): integer", doc: "Which test runs.") { call in
                call.give(Int64(SpecBindings.session(call)?.current ?? 0))
                return MG_RETURN
            },
            LuaBinding("failed", "s", type: "(message: string)", doc: "The test has failed.") { call in
                SpecBindings.session(call)?.failed(call.bytes(0).string)
                return MG_RETURN
            },
            LuaBinding("skipped", "", type: "()", doc: "The test was left out.") { call in
                SpecBindings.session(call)?.skipped()
                return MG_RETURN
            },
            LuaBinding("load", "tt", type: "(uses: table, options: table): integer", doc: "Loads policies.", load),
            LuaBinding("begin", "it", type: "(policy: integer, request: table): integer", doc: "A request.", begin),
            LuaBinding(
                "wait", "i", type: "(exchange: integer): table?",
                doc: "Waits until no hook does, or until one has made a call, which it gives.", wait),
            LuaBinding(
                "pass", "", type: "(): table?",
                doc: "Lets time pass until all of it has, or until a timer has made a call, which it gives.", pass),
            LuaBinding("answer", "it", type: "(call: integer, answer: table)", doc: "Answers a call.", answer),
            LuaBinding(
                "respond", "it", type: "(exchange: integer, response: table)", doc: "The upstream answers.", respond),
            LuaBinding("close", "i", type: "(policy: integer)", doc: "Policies are replaced.", close),
            LuaBinding(
                "closing", "i", type: "(policy: integer): table?",
                doc: "Waits until no on_close does, or until one has made a call, which it gives.", closing),
            LuaBinding("finish", "i", type: "(exchange: integer)", doc: "The exchange is over.", finish),
            LuaBinding("view", "i", type: "(exchange: integer): table", doc: "How the exchange stands.", view),
            LuaBinding("advance", "n", type: "(seconds: number)", doc: "Stops the clock; pass() moves it on.", advance),
            LuaBinding("set_clock", "n", type: "(seconds: number)", doc: "Stops the clock at a time of day.", setClock),
            LuaBinding("now", "", type: "(): number", doc: "The time of day.") { call in
                call.give(Double(SpecBindings.session(call)?.world.clock.unixMicroseconds() ?? 0) / 1e6)
                return MG_RETURN
            },
            LuaBinding("logs", "", type: "(): table[]", doc: "What policies logged.", logs),
            LuaBinding(
                "hash_password", "s", type: "(password: string): string", doc: "A hash, cheap to check.",
                hashPassword),
        ]
    }

    static func session(_ call: BindingCall) -> SpecSession? {
        call.pointee.context.map { Unmanaged<SpecSession>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Does what may fail for the spec's own mistakes.
    private static func perform(
        _ call: BindingCall, _ body: (SpecSession) throws(SpecFault) -> LuaValue?
    ) -> mg_action {
        guard let session = session(call) else { return call.fail("there is no spec") }
        do throws(SpecFault) {
            guard let value = try body(session) else { return MG_RETURN }
            let manager = LuaTextKeeper()
            guard value.write(to: call.pointee.output, keeping: manager) else {
                return call.fail("the value is too large")
            }
            session.manager = manager
            return MG_RETURN
        } catch {
            return call.fail(telling: error.message)
        }
    }

    private static func index(_ call: BindingCall) -> Int { Int(truncatingIfNeeded: call.integer(0)) }

    // MARK: The file

    private static let source: mg_leaf = { call in
        guard let session = session(call) else { return MG_RETURN }
        let manager = LuaTextKeeper()
        _ = LuaValue.string(session.source).write(to: call.pointee.output, keeping: manager)
        _ = LuaValue.string(session.chunkName).write(to: call.pointee.output, keeping: manager)
        session.manager = manager
        return MG_RETURN
    }

    private static let add: mg_leaf = { call in
        guard case .list(let names) = call.value(0) else { return call.fail("a test needs a name") }
        session(call)?.add(names.compactMap(\.text), line: Int(truncatingIfNeeded: call.integer(1)))
        return MG_RETURN
    }

    static let print: mg_leaf = { call in
        session(call)?.world.log.append(
            SpecLog.Line(level: .info, message: call.bytes(0).string, fields: ["by": "spec"]))
        return MG_RETURN
    }

    /// Modules of specs lie beside them or where policies find theirs.
    static let moduleSource: mg_leaf = { call in
        guard let session = session(call) else { return MG_RETURN }
        let name = call.bytes(0).string.split(separator: ".").joined(separator: "/")
        guard !name.isEmpty, !name.utf8.contains(0) else { return MG_RETURN }
        for folder in [session.world.folder] + session.world.path {
            for candidate in ["\(name).lua", "\(name)/init.lua"] {
                guard let data = try? Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(candidate)")) else { continue }
                let manager = LuaTextKeeper()
                _ = LuaValue.string(String(decoding: data, as: UTF8.self)).write(
                    to: call.pointee.output, keeping: manager)
                _ = LuaValue.string(candidate).write(to: call.pointee.output, keeping: manager)
                session.manager = manager
                return MG_RETURN
            }
        }
        return MG_RETURN
    }

    // MARK: Exchanges

    private static let load: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in .integer(Int64(try session.load(call.value(0), call.value(1)))) }
    }

    private static let begin: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in
            .integer(Int64(try session.begin(index(call), call.value(1))))
        }
    }

    private static let wait: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in
            try session.wait(index(call))
        }
    }

    private static let answer: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in
            guard let answer = call.value(1) else { throw SpecFault("an answer holds plain values only") }
            try session.calls.answer(index(call), answer)
            return nil
        }
    }

    private static let respond: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in
            try session.respond(index(call), try SpecResponse(call.value(1)))
            return nil
        }
    }

    private static let closing: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in try session.closing(index(call)) }
    }

    private static let close: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in
            try session.close(index(call))
            return nil
        }
    }

    private static let finish: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in
            try session.exchange(index(call)).finish()
            return nil
        }
    }

    private static let view: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in try session.exchange(index(call)).view }
    }

    // MARK: The clock

    /// Seconds that a spec may ask for: some 30,000 years.
    private static let longest = 1e12

    private static let advance: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in
            let seconds = call.pointee.arguments[0].number
            guard seconds >= 0, seconds <= 1e9 else { throw SpecFault("clock.advance takes 0 to 1e9 seconds") }
            session.advance(by: UInt64(seconds * 1e9))
            return nil
        }
    }

    private static let pass: mg_leaf = { call in perform(call) { session in session.pass() } }

    private static let setClock: mg_leaf = { call in
        perform(call) { session throws(SpecFault) in
            let seconds = call.pointee.arguments[0].number
            guard seconds >= 0, seconds <= longest else { throw SpecFault("clock.set takes seconds since 1970") }
            session.world.clock.set(unixMicroseconds: Int64(seconds * 1e6))
            return nil
        }
    }

    // MARK: The rest

    private static let logs: mg_leaf = { call in
        perform(call) { session in
            .list(
                session.world.log.lines.map { line in
                    .record([
                        ("level", .string("\(line.level)")), ("message", .string(line.message)),
                        ("fields", .record(line.fields.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })),
                    ])
                })
        }
    }

    private static let hashPassword: mg_leaf = { call in
        perform(call) { _ throws(SpecFault) in
            do {
                let password = Array(call.bytes(0).buffer)
                return .string(try PasswordHash.make(password: password, method: .bcrypt, cost: 4).text)
            } catch {
                throw SpecFault("\(error)")
            }
        }
    }
}
