/// One block of a PEM text (RFC 7468): what stands between its two markers.
///
/// Text before, between and behind blocks is explanation (§2), such as Bag Attributes or what `openssl x509 -text` prints. A byte
/// order mark, blanks around lines and any kind of line end do no harm.
struct PEMBlock {
    /// The label in the markers of the block.
    enum Label: String {
        case publicKey = "PUBLIC KEY"
        case rsaPublicKey = "RSA PUBLIC KEY"
        case certificate = "CERTIFICATE"
        case oldCertificate = "X509 CERTIFICATE"
        case trustedCertificate = "TRUSTED CERTIFICATE"
        case privateKey = "PRIVATE KEY"
        case rsaPrivateKey = "RSA PRIVATE KEY"
        case curvePrivateKey = "EC PRIVATE KEY"
        case dsaPrivateKey = "DSA PRIVATE KEY"
        case encryptedPrivateKey = "ENCRYPTED PRIVATE KEY"
        case openSSHPrivateKey = "OPENSSH PRIVATE KEY"

        var isPrivate: Bool {
            switch self {
            case .publicKey, .rsaPublicKey, .certificate, .oldCertificate, .trustedCertificate: false
            case .privateKey, .rsaPrivateKey, .curvePrivateKey, .dsaPrivateKey, .encryptedPrivateKey,
                .openSSHPrivateKey:
                true
            }
        }
    }

    /// `nil`: something else, such as a certificate request or parameters of a curve.
    let label: Label?
    let isEncrypted: Bool
    /// DER; empty for what is encrypted or has no known label.
    let content: [UInt8]

    private typealias Line = ArraySlice<UInt8>
    private static let begin = Array("-----BEGIN ".utf8)
    private static let end = Array("-----END ".utf8)
    private static let dashes = Array("-----".utf8)
    private static let beginning = Array("-----BEGIN".utf8)

    /// All blocks of a text, in order; none if it holds no PEM.
    ///
    /// - Throws: for a block without its end, or one that is damaged.
    static func all(in text: [UInt8]) throws(JWTFault) -> [PEMBlock] {
        var blocks: [PEMBlock] = []
        var open: (name: Line, body: [Line])?
        for line in lines(of: text) {
            guard let block = open else {
                guard line.starts(with: beginning) else { continue }
                guard let name = name(in: line, behind: begin) else {
                    throw JWTFault("the PEM text has a damaged line -----BEGIN")
                }
                open = (name, [])
                continue
            }
            guard line.starts(with: dashes) else {
                open?.body.append(line)
                continue
            }
            guard name(in: line, behind: end) == block.name else { throw unfinished }
            blocks.append(try PEMBlock(block.name, block.body))
            open = nil
        }
        guard open == nil else { throw unfinished }
        return blocks
    }

    private init(_ name: Line, _ body: [Line]) throws(JWTFault) {
        label = Label(rawValue: String(decoding: name, as: UTF8.self))
        // RFC 1421 §4.6: headers, with which OpenSSL says that what follows is encrypted.
        let hasHeaders = body.contains { $0.contains(UInt8(ascii: ":")) }
        isEncrypted = label == .encryptedPrivateKey || (hasHeaders && label?.isPrivate == true)
        guard label != nil, !isEncrypted else {
            content = []
            return
        }
        let decoded = Array(body.joined()).withUnsafeBufferPointer { buffer in
            buffer.baseAddress.flatMap { Base64.decodedPadded(Bytes($0, buffer.count)) }
        }
        guard let decoded, !decoded.isEmpty else { throw JWTFault("the PEM text is damaged: a block is no Base64") }
        content = decoded
    }

    private static var unfinished: JWTFault { JWTFault("the PEM text is cut: a block has no line -----END of its own") }

    /// `PUBLIC KEY` of `-----BEGIN PUBLIC KEY-----`.
    private static func name(in line: Line, behind marker: [UInt8]) -> Line? {
        guard line.count > marker.count + dashes.count, line.starts(with: marker), line.suffix(5).elementsEqual(dashes)
        else { return nil }
        let name = line.dropFirst(marker.count).dropLast(dashes.count)
        return name.first == UInt8(ascii: "-") || name.last == UInt8(ascii: "-") ? nil : name
    }

    /// Without blanks at both ends, and without byte order marks at the beginning.
    private static func lines(of text: [UInt8]) -> [Line] {
        text.split { $0 == 0x0a || $0 == 0x0d }.map { line in
            var line = line
            while line.starts(with: [0xef, 0xbb, 0xbf]) { line = line.dropFirst(3) }
            line = line.drop(while: isBlank)
            while let last = line.last, isBlank(last) { line = line.dropLast() }
            return line
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}

extension Base64 {
    /// The bytes behind Base64 as files have it, in one piece; `nil` if it is malformed.
    static func decodedPadded(_ text: Bytes) -> [UInt8]? {
        var isGood = true
        let bytes = [UInt8](unsafeUninitializedCapacity: max(1, text.count)) { buffer, count in
            let decoded = buffer.baseAddress.flatMap { decode(text, to: $0) }
            isGood = decoded != nil
            count = decoded ?? 0
        }
        return isGood ? bytes : nil
    }
}
