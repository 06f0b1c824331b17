import Testing

@testable import Moongate

@Suite struct FieldNameTests {
    private static let names: [(String, FieldName)] = [
        (":method", .method), (":path", .path), (":authority", .authority), (":scheme", .scheme),
        (":status", .status), ("host", .host), ("cookie", .cookie), ("connection", .connection),
        ("keep-alive", .keepAlive), ("proxy-connection", .proxyConnection),
        ("transfer-encoding", .transferEncoding), ("upgrade", .upgrade), ("te", .te),
        ("content-type", .contentType), ("content-length", .contentLength), ("authorization", .authorization),
        ("expect", .expect), ("user-agent", .userAgent), ("grpc-timeout", .grpcTimeout),
        ("grpc-status", .grpcStatus), ("grpc-message", .grpcMessage), ("grpc-encoding", .grpcEncoding),
        ("x-forwarded-for", .xForwardedFor), ("x-forwarded-proto", .xForwardedProto),
        ("x-forwarded-host", .xForwardedHost), ("forwarded", .forwarded),
        ("proxy-authorization", .proxyAuthorization), ("set-cookie", .setCookie), ("password", .password),
        ("x-password", .xPassword), ("x-api-key", .xAPIKey), ("x-request-id", .xRequestID), ("x-other", .other),
        ("", .other), ("grpc-statux", .other),
    ]

    @Test(arguments: names) func everyNameIsKnown(name: String, id: FieldName) {
        #expect(name.withBytes { FieldName.identify($0) } == id)
    }
}
