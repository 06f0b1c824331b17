import MoongateConfig

/// One element of the header `x-forwarded-client-cert`, in Envoy's form: `By=…;Hash=…;Subject="…";URI=…`.
enum ForwardedCertificate {
    /// - Parameter facts: of a connection whose client has shown a certificate.
    static func element(_ facts: TLSFacts, details: [ForwardClientCertificateConfig.Detail]) -> String {
        guard let peer = facts.peerCertificate else { return "" }
        var pairs = (facts.localCertificate?.uriNames ?? []).map { "By=\(value($0))" }
        pairs.append("Hash=\(peer.digest)")
        // Always in this order, as Envoy has it.
        for detail in ForwardClientCertificateConfig.Detail.allCases where details.contains(detail) {
            switch detail {
            case .cert: pairs.append("Cert=\"\(peer.urlEncodedPEM)\"")
            case .chain: pairs.append("Chain=\"\(facts.peerChain.map(\.urlEncodedPEM).joined())\"")
            case .subject: pairs.append("Subject=\"\(subject(peer.subject))\"")
            case .uri:
                let names = peer.uriNames
                pairs += names.isEmpty ? ["URI="] : names.map { "URI=\(value($0))" }
            case .dns: pairs += peer.dnsNames.map { "DNS=\(value($0))" }
            }
        }
        return pairs.joined(separator: ";")
    }

    /// In quotation marks where it would be mistaken for more than a value: a certificate's names are its owner's choice.
    private static func value(_ text: String) -> String {
        text.utf8.contains { ",;=\"\\ ".utf8.contains($0) || isUnsafe($0) } ? quoted(text) : text
    }

    /// RFC 2253 has put a backslash before quotation marks and backslashes already, as the header wants it. But a pair of
    /// backslashes is no escape to all readers, and would end the value in the eyes of some: in hexadecimal it is one to all.
    private static func subject(_ name: String) -> String {
        var text = ""
        var isEscaped = false
        for character in name.unicodeScalars {
            if isEscaped && character == "\\" {
                text += "5C"
            } else {
                text.unicodeScalars.append(character)
            }
            isEscaped = !isEscaped && character == "\\"
        }
        return text
    }

    private static func quoted(_ text: String) -> String {
        var bytes: [UInt8] = [UInt8(ascii: "\"")]
        for byte in text.utf8 {
            if isUnsafe(byte) || byte == UInt8(ascii: "\\") {
                bytes += Array("%\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))".utf8)
            } else {
                if byte == UInt8(ascii: "\"") { bytes.append(UInt8(ascii: "\\")) }
                bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What no header can hold (RFC 9113 §8.2.1), or only some readers understand.
    private static func isUnsafe(_ byte: UInt8) -> Bool { byte < 0x20 || byte >= 0x7F }
}
