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
        ("", .other), ("grpc-statux", .other), ("x-real-ip", .clientClaim), ("x-client-ip", .clientClaim),
        ("x-cluster-client-ip", .clientClaim), ("true-client-ip", .clientClaim), ("cf-connecting-ip", .clientClaim),
        ("cf-connecting-ipv6", .clientClaim), ("fastly-client-ip", .clientClaim), ("x-envoy-", .clientClaim),
        ("x-envoy-retry-on", .clientClaim), ("x-envoi-retry-on", .other), ("x-real-ib", .other), ("x-real-ip6", .other),
        ("_", .underscored), ("x_real_ip", .underscored), ("x-envoy-retry_on", .underscored),
    ]

    @Test(arguments: names) func everyNameIsKnown(name: String, id: FieldName) {
        #expect(name.withBytes { FieldName.identify($0) } == id)
    }

    @Test func anUnderscoreIsSeenWhereverItStands() {
        for count in 1...40 {
            for place in 0..<count {
                var name = [UInt8](repeating: UInt8(ascii: "x"), count: count)
                #expect(name.withBytes { FieldName.identify($0) } == .other)
                // The neighbours of an underscore in ASCII are none.
                for octet in UInt8(ascii: "^")...UInt8(ascii: "`") {
                    name[place] = octet
                    let isUnderscore = octet == UInt8(ascii: "_")
                    #expect(name.withBytes { FieldName.hasUnderscore($0) } == isUnderscore, "\(place) of \(count)")
                }
            }
        }
    }

    @Test func theTableOfClaimsIsTheOneThatIsLookedInto() {
        for claim in FieldName.clientClaims { #expect(FieldName.identify(Bytes(claim)) == .clientClaim) }
        #expect(FieldName.identify(Bytes(FieldName.claimPrefix)) == .clientClaim)
    }

    @Test(arguments: [
        ("x-a-b", "x_a_b", true), ("x-a-b", "x-a_b", true), ("x_a-b", "x-a_b", true), ("x-a-b", "x-a-b", false),
        ("x-a-b", "x.a.b", false), ("x-a", "x_b", false), ("x-a", "x_a_", false), ("xxa", "x_a", false),
    ]) func twinsDifferByUnderscoresAlone(one: String, other: String, areTwins: Bool) {
        #expect(one.withBytes { one in other.withBytes { FieldName.areTwins(one, $0) } } == areTwins)
    }

    @Test(
        arguments: [
            ("x_forwarded_for", .xForwardedFor), ("x-forwarded_for", .xForwardedFor), ("x_api_key", .xAPIKey),
            ("x_real_ip", .clientClaim), ("x_envoy_" + String(repeating: "a_", count: 500), .clientClaim),
            ("x_user", .other), (String(repeating: "a_", count: 500), .other),
        ] as [(String, FieldName)]) func twinsAreKnownByTheNameTheyStandFor(name: String, id: FieldName)
    {
        #expect(name.withBytes { FieldName.identifyTwin($0) } == id)
    }
}
