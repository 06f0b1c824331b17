import MoongateConfig

/// The configured changes to one list of headers, ready to be made.
struct HeaderEdits {
    private struct Field {
        let name: Bytes
        let value: HeaderText
    }

    private let set: [Field]
    private let add: [Field]
    private let remove: [Bytes]

    init(_ config: HeaderEditsConfig) {
        set = config.set.map(HeaderEdits.field)
        add = config.add.map(HeaderEdits.field)
        remove = config.remove.map { Bytes.allocated($0) }
    }

    private static func field(_ config: HeaderEditsConfig.Field) -> Field {
        Field(name: Bytes.allocated(config.name), value: HeaderText(config.value))
    }

    /// The edits must not be used afterwards.
    func free() {
        for field in set + add {
            field.name.base.deallocate()
            field.value.free()
        }
        for name in remove { name.base.deallocate() }
    }

    /// Changes `list`. A field whose variables say nothing is not written.
    func apply(to list: HeaderList, _ variables: HeaderVariables) {
        for name in remove { list.remove(name: name) }
        for field in set {
            field.value.withText(variables) { value in
                guard let value else { return list.remove(name: field.name) }
                list.set(name: field.name, value: value)
            }
        }
        for field in add {
            field.value.withText(variables) { value in
                guard let value else { return }
                list.removeTwins(of: field.name)
                list.add(name: field.name, value: value)
            }
        }
    }
}

/// What variables in values of headers stand for.
struct HeaderVariables {
    var request: HeaderList
    /// The client's address without a port.
    var client: Bytes
    /// See `RequestNumber`.
    var number: UInt64
    var listener: Bytes
    var route: Bytes
    /// Empty: no upstream was chosen.
    var upstream: Bytes
}

/// A value of a header, literal or with variables.
struct HeaderText {
    private enum Part {
        case text(Bytes)
        case client, requestID, listener, route, upstream
        case header(Bytes)
    }

    private let parts: [Part]
    private let isLiteral: Bool

    init(_ template: HeaderTemplate) {
        parts = template.parts.map { part in
            switch part {
            case .text(let text): .text(Bytes.allocated(text))
            case .clientAddress: .client
            case .requestID: .requestID
            case .listener: .listener
            case .route: .route
            case .upstream: .upstream
            case .header(let name): .header(Bytes.allocated(name))
            }
        }
        isLiteral = parts.allSatisfy { if case .text = $0 { true } else { false } }
    }

    func free() {
        for part in parts {
            switch part {
            case .text(let bytes), .header(let bytes): bytes.base.deallocate()
            case .client, .requestID, .listener, .route, .upstream: break
            }
        }
    }

    /// Lends the value; `nil`: it has variables, and is empty.
    func withText(_ variables: HeaderVariables, _ body: (Bytes?) -> Void) {
        if isLiteral {
            guard case .text(let text) = parts.first else { return body(.empty) }
            return body(text)
        }
        RequestNumber.withText(variables.number) { number in
            let size = parts.reduce(0) { $0 + HeaderText.bytes($1, variables, number).count }
            guard size > 0 else { return body(nil) }
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: size) { buffer in
                var writer = TextWriter(buffer)
                for part in parts { writer.append(HeaderText.bytes(part, variables, number)) }
                // A variable may be empty beside a blank (RFC 9113 §8.2.1).
                let text = HeaderRules.trimmed(writer.bytes)
                body(text.isEmpty ? nil : text)
            }
        }
    }

    private static func bytes(_ part: Part, _ variables: HeaderVariables, _ number: Bytes) -> Bytes {
        switch part {
        case .text(let text): text
        case .client: variables.client
        case .requestID: variables.request.value(.xRequestID) ?? number
        case .listener: variables.listener
        case .route: variables.route
        case .upstream: variables.upstream
        case .header(let name):
            variables.request.index(of: name).map { variables.request[$0].value } ?? .empty
        }
    }
}
