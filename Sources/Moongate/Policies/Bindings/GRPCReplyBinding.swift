import CMoongate
import MoongateLua

/// `handle:grpcRespond{status=, message=, details=, metadata=}`: an answer with a gRPC status instead of the upstream's.
enum GRPCReplyBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "grpcRespond", "t",
                type: "(answer: {status: integer|string, message?: string, details?: string, metadata?: table})",
                doc: """
                    Answers with a gRPC status instead of the upstream and ends the hook. `status` is a number or a \
                    name such as `"UNAUTHENTICATED"`; `details` are the bytes of a `google.rpc.Status`, sent as \
                    `grpc-status-details-bin`; the values of `-bin` names in `metadata` are bytes. Callers that do \
                    not speak gRPC get the HTTP status that belongs to it, the message as text, and the metadata as headers. \
                    A response that has begun is ended by the status, behind the messages that went on; one that \
                    is not gRPC is reset.
                    """, grpcRespond)
        ]
    }

    private struct Answer {
        var status: GRPCStatus?
        var message: [UInt8] = []
        var details: LuaValue?
        var metadata = LuaValue.null
    }

    /// Fields that the answer itself makes.
    private static let reserved: Set<String> = [
        "content-length", "content-type", "grpc-encoding", "grpc-message", "grpc-status", "grpc-status-details-bin",
        "host", "te",
    ]

    /// Bytes of metadata and details. Clients take 8 KiB unless they are told otherwise.
    private static let sizeLimit = 32 * 1024

    private static let grpcRespond: mg_leaf = { call in
        guard let run = call.run, let response = run.subject.response else {
            return call.fail("grpcRespond is for hooks")
        }
        let endsResponse =
            run.isHeadGone && ReplyBinding.responseHasBegun(run) && !ReplyBinding.isEnvoys(run)
        if !endsResponse, let refusal = ReplyBinding.refusal(run) { return call.fail(refusal) }
        var answer = Answer()
        if let fault = read(call.value(0), &answer) { return call.fail("grpcRespond: \(fault)") }
        guard let status = answer.status else { return call.fail("grpcRespond: status is missing") }
        let headers = CallHeaders(GRPCBinding.encoded(answer.metadata))
        if let fault = headers.fault { return call.fail("grpcRespond: \(fault)") }
        guard headers.size + (answer.details?.stringBytes?.count ?? 0) <= sizeLimit else {
            return call.fail("grpcRespond: metadata and details are too large")
        }
        if endsResponse {
            end(run, answer, status, headers)
        } else {
            reply(run, answer, status, headers, response)
        }
        return MG_STOP
    }

    /// The answer as a response of its own.
    private static func reply(
        _ run: PolicyRun, _ answer: Answer, _ status: GRPCStatus, _ headers: CallHeaders,
        _ response: HeaderList
    ) {
        let type = run.subject.request?.value(.contentType)
        let body = answer.message.withBytes { run.arena.copy($0) }
        let isGRPC = LocalReply.fill(
            response, status: status, httpStatus: status.httpStatus, message: body, requestType: type)
        run.replyBody = isGRPC ? .empty : body
        _ = headers.write(to: response)
        if isGRPC { addDetails(answer, to: response) }
    }

    /// The answer as trailers of the response that has begun.
    private static func end(_ run: PolicyRun, _ answer: Answer, _ status: GRPCStatus, _ headers: CallHeaders) {
        let trailers = run.endingPointer
        trailers.reset()
        answer.message.withBytes { LocalReply.appendTrailers(to: trailers, status: status, message: $0) }
        _ = headers.write(to: trailers)
        addDetails(answer, to: trailers)
        run.endsResponse = true
    }

    private static func addDetails(_ answer: Answer, to list: HeaderList) {
        guard let details = answer.details?.stringBytes else { return }
        details.withBytes { list.add(name: Bytes("grpc-status-details-bin"), value: $0) }
    }

    // MARK: The table

    private static func read(_ value: LuaValue?, _ answer: inout Answer) -> CallMessage? {
        guard case .table(let entries) = value else { return "needs a table with status" }
        for entry in entries {
            guard let key = entry.key.stringBytes.map({ String(decoding: $0, as: UTF8.self) }) else {
                return "needs a table with status"
            }
            if let fault = read(key, entry.value, &answer) { return fault }
        }
        return nil
    }

    private static func read(_ key: String, _ value: LuaValue, _ answer: inout Answer) -> CallMessage? {
        switch key {
        case "status":
            answer.status = status(value)
            return answer.status == nil ? "status must be 0 to 16 or a name such as \"UNAUTHENTICATED\"" : nil
        case "message":
            guard let text = CallHeaders.text(value) else { return "message must be a text" }
            answer.message = text
        case "details":
            guard value.stringBytes != nil else { return "details must be the bytes of a google.rpc.Status" }
            answer.details = GRPCBinding.base64(value)
        case "metadata":
            answer.metadata = value
            return fault(ofMetadata: value)
        default: return .unknown("field", key, among: ["details", "message", "metadata", "status"])
        }
        return nil
    }

    private static func status(_ value: LuaValue) -> GRPCStatus? {
        switch value {
        case .integer(let code): UInt8(exactly: code).flatMap(GRPCStatus.init(rawValue:))
        case .number(let code): UInt8(exactly: code).flatMap(GRPCStatus.init(rawValue:))
        case .string(let name): GRPCStatus.allCases.first { "\($0.name)" == name }
        default: nil
        }
    }

    private static func fault(ofMetadata value: LuaValue) -> CallMessage? {
        switch value {
        case .null: return nil
        case .table(let entries):
            for entry in entries {
                let name = entry.key.stringBytes.map { String(decoding: $0, as: UTF8.self).lowercased() } ?? ""
                guard !reserved.contains(name), !name.hasPrefix(":") else {
                    return "metadata must not have pseudo-headers and fields that gRPC has itself, such as grpc-status"
                }
            }
            return nil
        default: return "metadata must be a table of values by name"
        }
    }
}
