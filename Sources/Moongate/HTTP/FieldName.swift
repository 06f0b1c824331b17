/// The header names that the proxy itself looks at, interned to small integers.
///
/// Everything else is `.other` and compared by its bytes.
enum FieldName: UInt8 {
    case other
    case method, path, authority, scheme, status
    case host, cookie, connection, keepAlive, proxyConnection, transferEncoding, upgrade, te
    case contentType, contentLength, authorization, expect, userAgent
    case grpcTimeout, grpcStatus, grpcMessage, grpcEncoding
    case xRequestID

    /// Names are lower case on the wire (RFC 9113 §8.2.1), so bytes are compared as they are.
    static func identify(_ name: Bytes) -> FieldName {
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
        case 10:
            return name.equals(":authority")
                ? .authority
                : name.equals("user-agent")
                    ? .userAgent
                    : name.equals("connection") ? .connection : name.equals("keep-alive") ? .keepAlive : .other
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
        case 16: return name.equals("proxy-connection") ? .proxyConnection : .other
        case 17: return name.equals("transfer-encoding") ? .transferEncoding : .other
        default: return .other
        }
    }
}
