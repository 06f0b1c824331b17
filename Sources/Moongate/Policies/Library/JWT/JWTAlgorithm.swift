/// The signature algorithms of JWTs that are taken (RFC 7518 §3.1, RFC 8037 §3.1). `none` is not among them.
enum JWTAlgorithm: String, CaseIterable {
    case hs256 = "HS256"
    case hs384 = "HS384"
    case hs512 = "HS512"
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    case es256 = "ES256"
    case es384 = "ES384"
    case es512 = "ES512"
    case edDSA = "EdDSA"

    init?(_ name: Bytes) {
        guard let found = JWTAlgorithm.allCases.first(where: { $0.rawValue.withBytes { $0.equals(name) } }) else {
            return nil
        }
        self = found
    }

    /// `nil`: the algorithm hashes by itself.
    var digest: Digest? {
        switch self {
        case .hs256, .rs256, .ps256, .es256: .sha256
        case .hs384, .rs384, .ps384, .es384: .sha384
        case .hs512, .rs512, .ps512, .es512: .sha512
        case .edDSA: nil
        }
    }

    var isPSS: Bool { self == .ps256 || self == .ps384 || self == .ps512 }

    /// RFC 7518 §3.2: a secret must not be shorter than what the hash gives.
    var shortestSecret: Int {
        switch self {
        case .hs256: 32
        case .hs384: 48
        default: 64
        }
    }
}
