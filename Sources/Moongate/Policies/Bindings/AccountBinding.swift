import CMoongate
import MoongateLua

/// What the handle knows of an exchange's course: times, upstream, outcome. For response and log hooks.
enum AccountBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "timings", "", type: "(): {start: number, duration: number, upstream?: number, first_byte?: number}",
                doc: """
                    When the request began, in seconds since 1970, and how long it has taken, in seconds; in `on_log` \
                    the whole time. `upstream` and `first_byte` are seconds from the beginning until the upstream \
                    was sent the request and until the head of its response came; nil if that did not happen.
                    """, timings),
            LuaBinding(
                "upstreamInfo", "", type: "(): {upstream: string, endpoint?: string, attempts: integer}?",
                doc: """
                    Where the request went: the upstream's name, the endpoint's address, and how often an endpoint was \
                    looked for. Nil if it went nowhere.
                    """, upstreamInfo),
            LuaBinding(
                "status", "", type: "(): integer?",
                doc: """
                    The HTTP status of the response, as the client gets it; nil if there was none, and in the request hook.
                    """, status),
            LuaBinding(
                "grpcStatus", "", type: "(): integer?",
                doc: "In `on_log` how a gRPC call ended; nil for other requests.", grpcStatus),
            LuaBinding(
                "responseHeaders", "", type: "(): HeaderMap?",
                doc: "The headers of the response in `on_response` and `on_log`; nil if there was none.",
                responseHeaders),
            LuaBinding(
                "requestTrailers", "", type: "(): HeaderMap?",
                doc: "In `on_log` the trailers of the request; nil if there were none.", requestTrailers),
            LuaBinding(
                "responseTrailers", "", type: "(): HeaderMap?",
                doc: "In `on_log` the trailers of the response; nil if there were none.", responseTrailers),
        ]
    }

    // MARK: Course

    private static let timings: mg_leaf = { call in
        guard let account = call.run?.account else { return call.fail("only hooks have timings") }
        var fields: [LuaValue.Entry] = [
            .init(.string("start"), .number(Double(account.startedAt) / 1000)),
            .init(.string("duration"), seconds(account.duration)),
        ]
        if let sent = account.sent { fields.append(.init(.string("upstream"), seconds(sent))) }
        if let answered = account.answered { fields.append(.init(.string("first_byte"), seconds(answered))) }
        return call.give(.table(fields))
    }

    private static func seconds(_ nanoseconds: UInt64) -> LuaValue { .number(Double(nanoseconds) * 1e-9) }

    private static let upstreamInfo: mg_leaf = { call in
        guard let account = call.run?.account, let upstream = account.upstream else {
            call.giveNil()
            return MG_RETURN
        }
        var fields: [LuaValue.Entry] = [
            .init(.string("upstream"), .string(upstream)), .init(.string("attempts"), .integer(account.attempts)),
        ]
        if let endpoint = account.endpoint { fields.append(.init(.string("endpoint"), .string(endpoint))) }
        return call.give(.table(fields))
    }

    // MARK: Outcome

    private static let status: mg_leaf = { call in
        guard let run = call.run else { return call.fail("only hooks have a status") }
        let status: Int? =
            switch run.phase {
            case .log: run.account?.httpStatus
            case .response: run.subject.response?.value(.status).map(HTTPStatus.parse)
            case .idle, .request, .timer, .close: nil
            }
        if let status { call.give(Int64(status)) } else { call.giveNil() }
        return MG_RETURN
    }

    private static let grpcStatus: mg_leaf = { call in
        guard let run = call.run, run.phase == .log, let status = run.account?.grpcStatus else {
            call.giveNil()
            return MG_RETURN
        }
        call.give(Int64(status))
        return MG_RETURN
    }

    // MARK: Headers

    private static let responseHeaders: mg_leaf = { call in
        guard let run = call.run, run.phase == .response || run.phase == .log,
            let list = run.subject.response, !list.isEmpty
        else {
            call.giveNil()
            return MG_RETURN
        }
        call.give(run.lend(.responseHeaders))
        return MG_RETURN
    }

    private static let requestTrailers: mg_leaf = { call in trailers(call, isRequest: true) }
    private static let responseTrailers: mg_leaf = { call in trailers(call, isRequest: false) }

    private static func trailers(_ call: BindingCall, isRequest: Bool) -> mg_action {
        guard let run = call.run, run.phase == .log else {
            return call.fail("the trailers are known in on_log; elsewhere trailers() waits for them")
        }
        let subject = run.subject
        guard let list = (isRequest ? subject.requestFlow : subject.responseFlow).trailers, !list.isEmpty else {
            call.giveNil()
            return MG_RETURN
        }
        call.give(run.lend(isRequest ? .requestTrailers : .responseTrailers))
        return MG_RETURN
    }
}
