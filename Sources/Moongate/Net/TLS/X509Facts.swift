import COpenSSL
import Glibc

/// What a certificate says, in the forms that Envoy's policies know. A borrowed `X509`: whoever hands it out keeps it.
struct X509Facts {
    /// `X509`
    let pointer: OpaquePointer

    /// The names as RFC 2253 writes them: `CN=a.example,O=Example`.
    var subject: String { X509Facts.text(X509_get_subject_name(pointer)) }
    var issuer: String { X509Facts.text(X509_get_issuer_name(pointer)) }
    var commonName: String { X509Facts.entries(NID_commonName, of: X509_get_subject_name(pointer)).first ?? "" }
    var organizationNames: [String] { X509Facts.entries(NID_organizationName, of: X509_get_subject_name(pointer)) }

    /// The names of the subject alternative name that are of one kind.
    var uriNames: [String] { alternativeNames(GEN_URI) }
    var dnsNames: [String] { alternativeNames(GEN_DNS) }

    /// The same for IP addresses, as they are written.
    var addressNames: [String] {
        alternativeNames(GEN_IPADD) { value in
            guard let start = ASN1_STRING_get0_data(value) else { return nil }
            let bytes = UnsafeRawBufferPointer(start: start, count: Int(max(0, ASN1_STRING_length(value))))
            return SocketAddress(bytes: bytes, port: 0)?.host
        }
    }

    /// In hexadecimal, lower case.
    var serialNumber: String {
        guard let number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(pointer), nil) else { return "" }
        defer { BN_free(number) }
        guard let text = BN_bn2hex(number) else { return "" }
        defer { CRYPTO_free(text, nil, 0) }
        return String(cString: text).lowercased()
    }

    /// SHA-256 over the DER form, in hexadecimal, lower case.
    var digest: String {
        var bytes = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        guard X509_digest(pointer, EVP_sha256(), &bytes, &count) == 1 else { return "" }
        return X509Facts.hexadecimal(bytes.prefix(Int(count)))
    }

    /// In seconds since 1970; 0 if the certificate says nothing that can be read.
    var validFrom: Int64 { X509Facts.seconds(X509_get0_notBefore(pointer)) }
    var expiration: Int64 { X509Facts.seconds(X509_get0_notAfter(pointer)) }

    /// The object identifiers of the extensions, in their order: `2.5.29.17`.
    var extensionOIDs: [String] {
        (0..<max(0, X509_get_ext_count(pointer))).compactMap { index in
            guard let item = X509_get_ext(pointer, index), let object = X509_EXTENSION_get_object(item) else {
                return nil
            }
            var text = [CChar](repeating: 0, count: 128)
            guard OBJ_obj2txt(&text, Int32(text.count), object, 1) > 0 else { return nil }
            return X509Facts.string(text)
        }
    }

    var pem: String {
        X509Facts.written { PEM_write_bio_X509($0, pointer) }
    }

    /// `pem` in the percent-encoding of Envoy's `x-forwarded-client-cert`.
    var urlEncodedPEM: String {
        var text = ""
        for character in pem.unicodeScalars {
            switch character {
            case "\n": text += "%0A"
            case " ": text += "%20"
            case "+": text += "%2B"
            case "/": text += "%2F"
            case "=": text += "%3D"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }

    static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        var text = ""
        for byte in bytes { text += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
        return text
    }
}

extension X509Facts {
    private func alternativeNames(
        _ wanted: Int32, _ read: (UnsafePointer<ASN1_STRING>) -> String? = { X509Facts.text($0) }
    ) -> [String] {
        guard let list = X509_get_ext_d2i(pointer, NID_subject_alt_name, nil, nil) else { return [] }
        let stack = OpaquePointer(list)
        defer { GENERAL_NAMES_free(stack) }
        return (0..<max(0, OPENSSL_sk_num(stack))).compactMap { index in
            guard let entry = OPENSSL_sk_value(stack, index) else { return nil }
            var kind: Int32 = 0
            let value = GENERAL_NAME_get0_value(entry.assumingMemoryBound(to: GENERAL_NAME.self), &kind)
            guard kind == wanted, let value else { return nil }
            return read(value.assumingMemoryBound(to: ASN1_STRING.self))
        }
    }

    private static func entries(_ kind: Int32, of name: OpaquePointer?) -> [String] {
        guard let name else { return [] }
        var found: [String] = []
        var position = X509_NAME_get_index_by_NID(name, kind, -1)
        while position >= 0 {
            var bytes: UnsafeMutablePointer<UInt8>?
            let value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, position))
            let count = ASN1_STRING_to_UTF8(&bytes, value)
            if count >= 0, let bytes {
                found.append(String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self))
                CRYPTO_free(bytes, nil, 0)
            }
            position = X509_NAME_get_index_by_NID(name, kind, position)
        }
        return found
    }

    private static func text(_ name: OpaquePointer?) -> String {
        guard let name else { return "" }
        return written { mg_x509_name_print($0, name) }
    }

    private static func text(_ string: UnsafePointer<ASN1_STRING>) -> String {
        guard let start = ASN1_STRING_get0_data(string) else { return "" }
        let bytes = UnsafeBufferPointer(start: start, count: Int(max(0, ASN1_STRING_length(string))))
        return String(decoding: bytes, as: UTF8.self)
    }

    static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var parts = tm()
        guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
        return Int64(timegm(&parts))
    }

    /// What a function writes to a memory BIO; empty when it reports a fault.
    private static func written(_ write: (OpaquePointer) -> Int32) -> String {
        guard let bio = BIO_new(BIO_s_mem()) else { return "" }
        defer { BIO_free(bio) }
        guard write(bio) >= 0 else {
            ERR_clear_error()
            return ""
        }
        var start: UnsafeMutablePointer<UInt8>?
        let count = mg_bio_contents(bio, &start)
        guard count > 0, let start else { return "" }
        return String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    }

    private static func string(_ text: [CChar]) -> String {
        String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
