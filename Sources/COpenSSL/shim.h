#pragma once
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// Swift sees neither function-like macros nor the constants built from them. These are their only spellings.

/// What holds for every connection, towards clients and towards servers.
static inline void mg_tls_defaults(SSL_CTX *context) {
    // Written bytes may move between attempts and are taken record by record; idle connections hold no buffers.
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    // A connection cut without close_notify is an ordinary end: HTTP/2 has its own framing (RFC 9113 §5.4.1).
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    // A whole record in one system call instead of header and body apart.
    SSL_CTX_set_read_ahead(context, 1);
}

/// The rest of a server context that no configuration changes: sessions live in tickets only.
static inline void mg_tls_server_defaults(SSL_CTX *context) {
    mg_tls_defaults(context);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

/// The rest of a client context that no configuration changes: whoever gets the callback keeps sessions.
static inline void mg_tls_client_defaults(SSL_CTX *context) {
    mg_tls_defaults(context);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
}

/// Groups by name, separated by colons. Returns 1 on success.
static inline int mg_tls_set_groups(SSL_CTX *context, const char *groups) {
    return (int)SSL_CTX_set1_groups_list(context, groups);
}

/// Returns 1 on success.
static inline int mg_tls_set_versions(SSL_CTX *context, int minimum, int maximum) {
    return SSL_CTX_set_min_proto_version(context, minimum) && SSL_CTX_set_max_proto_version(context, maximum);
}

/// The name that a client asks for (RFC 6066 §3). Returns 1 on success.
static inline int mg_tls_ask_for(SSL *session, const char *name) {
    return (int)SSL_set_tlsext_host_name(session, name);
}

static inline void mg_tls_set_servername_callback(SSL_CTX *context, int (*callback)(SSL *, int *, void *)) {
    SSL_CTX_set_tlsext_servername_callback(context, callback);
}

/// Keys a MAC context with HMAC-SHA256: the parameter array holds pointers to C literals. Returns 1 on success.
static inline int mg_hmac_sha256_key(EVP_MAC_CTX *context, const unsigned char *key, size_t length) {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key, length),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(context, parameters);
}

/// Writes a name in the form of RFC 2253. Negative on failure.
static inline int mg_x509_name_print(BIO *target, const X509_NAME *name) {
    return X509_NAME_print_ex(target, name, 0, XN_FLAG_RFC2253);
}

/// What was written to a memory BIO; valid until it is written again.
static inline long mg_bio_contents(BIO *bio, unsigned char **start) { return BIO_get_mem_data(bio, (char **)start); }

/// A new key on P-256. NULL if memory is short.
static inline EVP_PKEY *mg_new_key(void) { return EVP_EC_gen("P-256"); }

/// Adds an entry in UTF-8 at the end of a name. Returns 1 on success.
static inline int mg_x509_name_add(X509_NAME *name, int kind, const unsigned char *text, int size) {
    return X509_NAME_add_entry_by_NID(name, kind, MBSTRING_UTF8, text, size, -1, 0);
}

/// A public key from a parameter builder, which is freed. NULL if a part is missing or wrong.
static inline EVP_PKEY *mg_public_key(const char *type, OSSL_PARAM_BLD *builder, int is_complete) {
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = builder && is_complete ? OSSL_PARAM_BLD_to_param(builder) : NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (parameters && context && EVP_PKEY_fromdata_init(context) == 1)
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

/// An RSA key from modulus and exponent, highest byte first. NULL if they make none.
static inline EVP_PKEY *mg_rsa_public_key(
    const unsigned char *n, size_t n_size, const unsigned char *e, size_t e_size) {
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn(n, (int)n_size, NULL);
    BIGNUM *exponent = BN_bin2bn(e, (int)e_size, NULL);
    int is_complete = builder && modulus && exponent && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus)
                      && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
    EVP_PKEY *key = mg_public_key("RSA", builder, is_complete);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/// A key on a named curve from its uncompressed point. NULL if the point is not on it.
static inline EVP_PKEY *mg_ec_public_key(const char *curve, const unsigned char *point, size_t size) {
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    int is_complete = builder && OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0)
                      && OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, size);
    return mg_public_key("EC", builder, is_complete);
}
