import MoongateLua

/// Headers of the client's request that a call carries as they are (`forward`): they go from list to list and never become
/// values of a script, so that a script engine holds nothing of them while the call is waited for.
struct ForwardedFields {
    /// How many names one call may give.
    static let limit = 128

    /// In lower case.
    private var names: [[UInt8]] = []

    var isEmpty: Bool { names.isEmpty }

    /// Takes over the names that a script gives. Returns a message if there is something wrong with them.
    mutating func read(_ value: LuaValue) -> CallMessage? {
        switch value {
        case .null: return nil
        case .table(let entries) where entries.isEmpty: return nil
        case .list(let values):
            guard values.count <= ForwardedFields.limit else {
                return "forward names more than \(ForwardedFields.limit) headers"
            }
            for value in values {
                guard let name = value.stringBytes?.map(\.asciiLowercased) else { return ForwardedFields.form }
                guard name.withBytes(ForwardedFields.mayGo) else {
                    return
                        "forward names what is no header of its own: a pseudo-header, 'host', 'te' or the connection's"
                }
                if !names.contains(name) { names.append(name) }
            }
            return nil
        default: return ForwardedFields.form
        }
    }

    private static let form: CallMessage = "forward must be a list of names of headers"

    private static func mayGo(_ name: Bytes) -> Bool {
        switch FieldName.identify(name) {
        case .host, .te, .contentLength, .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: false
        default:
            name.count > 0 && name[0] != UInt8(ascii: ":")
                && HeaderRules.fault(name: name, value: .empty, isRequest: true) == nil
        }
    }

    /// Adds the fields to the head of a call, but for those whose names it has already. Returns a message if it cannot.
    func write(to head: HeaderList, _ call: BindingCall) -> CallMessage? {
        guard !names.isEmpty else { return nil }
        guard let request = call.run?.pointer.pointee.subject.request else {
            return "forward is for hooks, which have a request"
        }
        var left = HeaderList.arenaLimit - head.arenaSize
        for name in names {
            let isThere = name.withBytes { ForwardedFields.copy($0, of: request, to: head, &left) }
            if !isThere { return "the headers are too large" }
        }
        return nil
    }

    /// False: they are too large.
    private static func copy(
        _ name: Bytes, of request: HeaderList, to head: HeaderList,
        _ left: inout Int
    ) -> Bool {
        let id = FieldName.identify(name)
        guard head.index(of: name, id, from: 0) == nil else { return true }
        var next = 0
        while let place = request.index(of: name, id, from: next) {
            let field = request[place]
            left -= field.name.count + field.value.count
            guard left >= 0 else { return false }
            head.add(name: field.name, value: field.value, neverIndexed: field.neverIndexed)
            next = place + 1
        }
        return true
    }
}
