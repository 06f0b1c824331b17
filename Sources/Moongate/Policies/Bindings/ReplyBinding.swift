import CMoongate
import MoongateLua

/// `handle:respond(headers, body)`: the policy answers instead of the upstream, and the hook ends there.
///
/// To gRPC callers the answer is a trailers-only head: 200, `grpc-status` by Envoy's table from `:status`, the body as
/// `grpc-message`. A `grpc-status` that the script gives wins over the table.
enum ReplyBinding {
    /// What a pass over the table found.
    private struct Outline {
        var status = 0
        var hasGRPCStatus = false
        var hasContentType = false
        var size = 0
    }

    static let respond: mg_leaf = { call in
        guard let run = call.run, let response = run.subject.response else {
            return call.fail("respond is for hooks")
        }
        if let refusal = refusal(run) { return call.fail(refusal) }
        var outline = Outline()
        if let fault = check(call, &outline) { return call.fail(fault) }
        guard outline.status != 0 else { return call.fail(":status must be between 200-599") }
        guard outline.size <= HeaderList.arenaLimit else { return call.fail("the headers are too large") }
        response.reset()
        let body = call.bytes(1)
        if run.isGRPC {
            fillGRPC(call, run, response, outline, body)
        } else {
            fillPlain(call, run, response, outline, body)
        }
        return MG_STOP
    }

    // MARK: Checking

    /// Why the hook that runs cannot answer; `nil`: it can.
    static func refusal(_ run: PolicyRun) -> CallMessage? {
        switch run.phase {
        case .idle, .request: break
        case .response:
            // Envoy: scripts for it may count on the error.
            if isEnvoys(run) { return "respond not currently supported in the response path" }
        case .timer, .close, .log: return "respond is for hooks that see the head"
        }
        guard run.isHeadGone, isEnvoys(run) || responseHasBegun(run) else { return nil }
        return "respond() cannot be called if headers have been continued"
    }

    /// Whether the hook that runs has Envoy's name.
    static func isEnvoys(_ run: PolicyRun) -> Bool {
        guard !run.isMessageHook else { return false }
        let instance = run.currentInstance
        return run.phase == .response
            ? instance.pointee.hasEnvoyResponse : instance.pointee.hasEnvoyRequest
    }

    /// Whether the client has a part of a response already.
    static func responseHasBegun(_ run: PolicyRun) -> Bool {
        run.subject.responseFlow.headSent?.pointee ?? false
    }

    private static func check(_ call: BindingCall, _ outline: inout Outline) -> CallMessage? {
        var fault: CallMessage?
        let isComplete = forEachField(call) { name, value in
            guard fault == nil else { return }
            outline.size += name.count + value.count + 64
            if name.equals(":status") {
                outline.status = HeaderRules.status(value) ?? 0
                if outline.status == 0 { fault = ":status must be between 200-599" }
                return
            }
            switch FieldName.identify(name) {
            case .grpcStatus:
                outline.hasGRPCStatus = true
                if GRPCStatus(parsing: value) == nil { fault = "grpc-status must be between 0-16" }
            case .contentType: outline.hasContentType = true
            default: break
            }
            fault = fault ?? HeaderRules.fault(name: name, value: value, isRequest: false)
        }
        return fault ?? (isComplete ? nil : "respond: headers must be texts, numbers or lists of them by name")
    }

    // MARK: Filling

    private static func fillGRPC(
        _ call: BindingCall, _ run: PolicyRun, _ response: HeaderList, _ outline: Outline,
        _ body: Bytes
    ) {
        let requestType = run.subject.request?.value(.contentType)
        response.add(":status", "200")
        response.add("content-type", GRPCContentType.answering(requestType))
        if !outline.hasGRPCStatus {
            response.add("grpc-status", GRPCStatus(respondStatus: outline.status).code)
        }
        _ = forEachField(call) { name, value in
            switch FieldName.identify(name) {
            case .status, .contentType, .contentLength: return
            case .grpcMessage where !body.isEmpty: return
            default: response.add(name: name, value: value)
            }
        }
        if !body.isEmpty { LocalReply.addMessage(body, to: response) }
        run.replyBody = .empty
    }

    private static func fillPlain(
        _ call: BindingCall, _ run: PolicyRun, _ response: HeaderList, _ outline: Outline,
        _ body: Bytes
    ) {
        addNumber(":status", outline.status, to: response)
        _ = forEachField(call) { name, value in
            switch FieldName.identify(name) {
            case .status, .contentLength: return
            default: response.add(name: name, value: value)
            }
        }
        guard !HTTPStatus.excludesContent(outline.status) else {
            // RFC 9110 §15.3.6: a 205 says that there is nothing.
            if outline.status == 205 { addNumber("content-length", 0, to: response) }
            run.replyBody = .empty
            return
        }
        if !body.isEmpty && !outline.hasContentType { response.add("content-type", "text/plain") }
        addNumber("content-length", body.count, to: response)
        run.replyBody = run.arena.copy(body)
    }

    private static func addNumber(
        _ name: StaticString, _ number: Int, to list: HeaderList
    ) {
        var value = mg_value()
        value.kind = MG_INTEGER
        value.integer = Int64(number)
        _ = withText(value) { list.add(name, $0) }
    }

    // MARK: The table

    /// Lends every name, in lower case and without alias, with each of its values. False: the table holds something
    /// else.
    private static func forEachField(_ call: BindingCall, _ body: (_ name: Bytes, _ value: Bytes) -> Void) -> Bool {
        guard let values = call.pointee.input.pointee.values else { return false }
        var place = Int(call.integer(0)) + 1
        while values[place].kind != MG_END {
            let key = values[place]
            place += 1
            guard key.kind == MG_STRING, let base = key.bytes else { return false }
            let isComplete = withLowerCase(Bytes(base, Int(key.size))) { name in
                forEachValue(values, &place) { body(name, HeaderRules.trimmed($0)) }
            }
            if !isComplete { return false }
        }
        return true
    }

    /// One value or a list of them; leaves `place` behind it.
    private static func forEachValue(
        _ values: UnsafeMutablePointer<mg_value>, _ place: inout Int, _ body: (Bytes) -> Void
    ) -> Bool {
        guard values[place].kind == MG_TABLE else {
            place += 1
            return withText(values[place - 1], body)
        }
        place += 1
        while values[place].kind != MG_END {
            guard values[place].kind == MG_INTEGER, withText(values[place + 1], body) else { return false }
            place += 2
        }
        place += 1
        return true
    }

    private static func withText(_ value: mg_value, _ body: (Bytes) -> Void) -> Bool {
        if value.kind == MG_STRING, let base = value.bytes {
            body(Bytes(base, Int(value.size)))
            return true
        }
        guard value.kind == MG_INTEGER || value.kind == MG_NUMBER else { return false }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { buffer in
            guard let base = buffer.baseAddress else { return }
            body(Bytes(UnsafePointer(base), Int(mg_print_number(value, base))))
        }
        return true
    }

    private static func withLowerCase(_ name: Bytes, _ body: (Bytes) -> Bool) -> Bool {
        guard HeaderRules.hasUpperCase(name) else { return body(name) }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: name.count) { buffer in
            for index in 0..<name.count { buffer[index] = name[index].asciiLowercased }
            guard let base = buffer.baseAddress else { return false }
            return body(Bytes(UnsafePointer(base), name.count))
        }
    }
}
