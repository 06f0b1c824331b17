import COpenSSL

/// OpenSSL's two contexts for one session ticket, lent for one callback.
struct TicketCipher {
    /// `EVP_CIPHER_CTX`
    let cipher: OpaquePointer?
    /// `EVP_MAC_CTX`
    let mac: OpaquePointer?
    let iv: UnsafeMutablePointer<UInt8>

    func seal(with key: TicketKeys.Key, name: UnsafeMutableRawBufferPointer) -> Bool {
        name.copyBytes(from: key.name)
        return RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1
            && EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.encryption, iv) == 1
            && mg_hmac_sha256_key(mac, key.authentication, key.authentication.count) == 1
    }

    func open(with key: TicketKeys.Key) -> Bool {
        mg_hmac_sha256_key(mac, key.authentication, key.authentication.count) == 1
            && EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.encryption, iv) == 1
    }
}
