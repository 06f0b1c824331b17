import COpenSSL

/// A client's certificate out of nothing, for the tests of policies: what `moongate test` shows where a spec asks for one.
final class MadeCertificate: TLSFacts {
    struct Content {
        var commonName = ""
        var organizations: [String] = []
        var uriNames: [String] = []
        var dnsNames: [String] = []
        /// The listener found nothing wrong with it.
        var isValid = true
    }

    /// `X509`
    private let pointer: OpaquePointer
    private let isValid: Bool

    /// Signed by itself, good for 30 days. `nil` if memory is short.
    init?(_ content: Content) {
        guard let certificate = X509_new() else { return nil }
        pointer = certificate
        isValid = content.isValid
        super.init()
        guard fill(content) else { return nil }
    }

    deinit { X509_free(pointer) }

    override var peerCertificate: X509Facts? { X509Facts(pointer: pointer) }
    override var peerChain: [X509Facts] { [X509Facts(pointer: pointer)] }
    override var isPeerValidated: Bool { isValid }
    override var peerFault: String? { isValid ? nil : "not verified" }

    private func fill(_ content: Content) -> Bool {
        ERR_clear_error()
        guard let key = mg_new_key() else { return false }
        defer { EVP_PKEY_free(key) }
        let name = X509_get_subject_name(pointer)
        let parts = content.organizations.map { (NID_organizationName, $0) } + [(NID_commonName, content.commonName)]
        for (kind, text) in parts where !text.isEmpty {
            let bytes = Array(text.utf8)
            guard mg_x509_name_add(name, kind, bytes, Int32(bytes.count)) == 1 else { return false }
        }
        return X509_set_version(pointer, 2) == 1
            && ASN1_INTEGER_set(X509_get_serialNumber(pointer), 1) == 1
            && X509_gmtime_adj(X509_getm_notBefore(pointer), -86_400) != nil
            && X509_gmtime_adj(X509_getm_notAfter(pointer), 30 * 86_400) != nil
            && X509_set_issuer_name(pointer, name) == 1
            && X509_set_pubkey(pointer, key) == 1
            && add(content.uriNames.map { (GEN_URI, $0) } + content.dnsNames.map { (GEN_DNS, $0) })
            && X509_sign(pointer, key, EVP_sha256()) > 0
    }

    private func add(_ names: [(kind: Int32, text: String)]) -> Bool {
        guard !names.isEmpty else { return true }
        let list = OPENSSL_sk_new_null()
        defer { GENERAL_NAMES_free(list) }
        for name in names {
            let bytes = Array(name.text.utf8)
            guard let entry = GENERAL_NAME_new(), let value = ASN1_STRING_type_new(V_ASN1_IA5STRING),
                ASN1_STRING_set(value, bytes, Int32(bytes.count)) == 1
            else { return false }
            GENERAL_NAME_set0_value(entry, name.kind, value)
            OPENSSL_sk_push(list, entry)
        }
        guard let raw = list else { return false }
        return X509_add1_ext_i2d(pointer, NID_subject_alt_name, UnsafeMutableRawPointer(raw), 0, 0) == 1
    }
}
