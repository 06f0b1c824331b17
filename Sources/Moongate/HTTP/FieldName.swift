/// The header names that the proxy itself looks at, interned to small integers.
///
/// The first three stand for many names, which are compared by their bytes.
enum FieldName: UInt8 {
    case other
    /// Has an underscore in its name, see `UnderscoreMode`.
    case underscored
    /// One of `FieldName.clientClaims`.
    case clientClaim
    case method, path, authority, scheme, status
    case host, connection, keepAlive, proxyConnection, transferEncoding, upgrade, te
    case contentType, contentLength, expect, userAgent
    case grpcTimeout, grpcStatus, grpcMessage, grpcEncoding
    case xRequestID, xForwardedFor, xForwardedProto, xForwardedHost, forwarded, xForwardedClientCert
    /// Credentials.
    case authorization, proxyAuthorization, cookie, setCookie, password, xPassword, xAPIKey

    /// Fields of two different names have different ids.
    @inline(__always) var isOneName: Bool { rawValue > FieldName.clientClaim.rawValue }

    /// Names are lower case on the wire (RFC 9113 §8.2.1), so bytes are compared as they are.
    static func identify(_ name: Bytes) -> FieldName {
        let id = interned(name)
        return id == .other ? family(name) : id
    }

    private static func interned(_ name: Bytes) -> FieldName {
        switch name.count {
        case 2: return name.equals("te") ? .te : .other
        case 4: return name.equals("host") ? .host : .other
        case 5: return name.equals(":path") ? .path : .other
        case 6: return name.equals("cookie") ? .cookie : name.equals("expect") ? .expect : .other
        case 7:
            return name.equals(":method")
                ? .method
                : name.equals(":scheme")
                    ? .scheme : name.equals(":status") ? .status : name.equals("upgrade") ? .upgrade : .other
        case 8: return name.equals("password") ? .password : .other
        case 9: return name.equals("forwarded") ? .forwarded : name.equals("x-api-key") ? .xAPIKey : .other
        case 10: return identifyTen(name)
        case 11: return name.equals("grpc-status") ? .grpcStatus : .other
        case 12:
            return name.equals("content-type")
                ? .contentType
                : name.equals("grpc-timeout")
                    ? .grpcTimeout
                    : name.equals("grpc-message")
                        ? .grpcMessage : name.equals("x-request-id") ? .xRequestID : .other
        case 13:
            return name.equals("authorization")
                ? .authorization : name.equals("grpc-encoding") ? .grpcEncoding : .other
        case 14: return name.equals("content-length") ? .contentLength : .other
        case 15: return name.equals("x-forwarded-for") ? .xForwardedFor : .other
        case 16:
            return name.equals("proxy-connection")
                ? .proxyConnection : name.equals("x-forwarded-host") ? .xForwardedHost : .other
        case 17:
            return name.equals("transfer-encoding")
                ? .transferEncoding : name.equals("x-forwarded-proto") ? .xForwardedProto : .other
        case 19: return name.equals("proxy-authorization") ? .proxyAuthorization : .other
        case 23: return name.equals("x-forwarded-client-cert") ? .xForwardedClientCert : .other
        default: return .other
        }
    }

    private static func identifyTen(_ name: Bytes) -> FieldName {
        if name.equals(":authority") { return .authority }
        if name.equals("user-agent") { return .userAgent }
        if name.equals("connection") { return .connection }
        if name.equals("keep-alive") { return .keepAlive }
        if name.equals("set-cookie") { return .setCookie }
        return name.equals("x-password") ? .xPassword : .other
    }
}
