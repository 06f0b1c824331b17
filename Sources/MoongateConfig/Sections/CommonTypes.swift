extension ValueType<Duration> {
    static func duration(_ range: ClosedRange<Duration>) -> ValueType {
        let bounds = "\(DurationSyntax.write(range.lowerBound)) to \(DurationSyntax.write(range.upperBound))"
        let shape = DurationSyntax.shape.ranging(bounds)
        return text(shape, expected: "a duration such as 5s", write: DurationSyntax.write) {
            text, _ throws(SyntaxFault) in
            let value = try DurationSyntax.parse(text)
            guard range.contains(value) else { throw SyntaxFault("\(text) is out of range: \(bounds)") }
            return value
        }
    }
}

extension ValueType<Int> {
    /// A size in bytes.
    static func size(_ range: ClosedRange<Int>) -> ValueType {
        let bounds = "\(SizeSyntax.write(range.lowerBound)) to \(SizeSyntax.write(range.upperBound))"
        let shape = SizeSyntax.shape.ranging(bounds)
        return text(shape, expected: "a size such as 64KiB", write: SizeSyntax.write) {
            text, _ throws(SyntaxFault) in
            let value = try SizeSyntax.parse(text)
            guard range.contains(value) else { throw SyntaxFault("\(text) is out of range: \(bounds)") }
            return value
        }
    }
}

extension ValueType<SocketAddressConfig> {
    /// An address to accept connections on; no two of a file may be equal (port 0 aside).
    static var listening: ValueType {
        let syntax: ValueType = .text(AddressSyntax.shape(.listening), expected: "an address such as 0.0.0.0:8080") {
            text, _ throws(SyntaxFault) in try AddressSyntax.parse(text, as: .listening)
        }
        return syntax.map { address, node, decoding in
            guard address.port != 0 else { return address }
            let text = address.host.contains(":") ? "[\(address.host)]" : address.host
            decoding.define("\(text):\(address.port)", as: .address, at: node.location)
            return address
        }
    }

    /// An address to connect to.
    static var endpoint: ValueType {
        .text(AddressSyntax.shape(.endpoint), expected: "an address such as 127.0.0.1:50051") {
            text, _ throws(SyntaxFault) in try AddressSyntax.parse(text, as: .endpoint)
        }
    }
}

extension ValueType<String> {
    static var name: ValueType {
        .text(NameSyntax.name, expected: "a name") { text, _ throws(SyntaxFault) in try NameSyntax.parse(text) }
    }

    /// A name that this file gives to something; unique among its kind.
    static func definition(of kind: NameRegistry.Kind) -> ValueType {
        name.map { name, node, decoding in
            decoding.define(name, as: kind, at: node.location)
            return name
        }
    }

    /// The name of something that this file defines, before or after.
    static func reference(to kind: NameRegistry.Kind) -> ValueType {
        name.map { name, node, decoding in
            decoding.names.use(name, of: kind, at: node.location)
            return name
        }
    }

    enum Secrecy {
        case shown
        /// A secret may have been written there by mistake.
        case hidden
    }

    /// The path of a file or folder, made absolute.
    static var path: ValueType { path(.shown) }

    static func path(_ secrecy: Secrecy) -> ValueType {
        .text(secrecy == .shown ? NameSyntax.file : NameSyntax.file.hidden, expected: "a path") {
            text, decoding throws(SyntaxFault) in
            try NameSyntax.absolutePath(text, folder: decoding.folder)
        }
    }
    /// The name of a header, in lower case.
    static var headerName: ValueType {
        .text(MatchSyntax.headerName, expected: "the name of a header") { text, _ throws(SyntaxFault) in
            try MatchSyntax.parseHeaderName(text)
        }
    }
}
