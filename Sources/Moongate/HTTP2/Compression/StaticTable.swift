/// The fields that every header block may name by a number (RFC 7541 Appendix A).
enum StaticTable {
    /// By number, from 1; what stands at 0 is no field.
    static let fields: [(name: StaticString, value: StaticString)] = [
        ("", ""), (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
        (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"),
        (":status", "206"), (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"),
        ("accept-charset", ""), ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
        ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""),
        ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""),
        ("content-length", ""), ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
        ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""),
        ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""),
        ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""),
        ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""),
        ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
        ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
    ]

    /// The highest number.
    static let last = 61

    /// The first number with this name; 0: none, or one that is looked for too seldom.
    @inline(__always) static func number(of id: FieldName) -> Int {
        switch id {
        case .authority: 1
        case .method: 2
        case .path: 4
        case .scheme: 6
        case .status: 8
        case .authorization: 23
        case .contentLength: 28
        case .contentType: 31
        case .cookie: 32
        case .expect: 35
        case .host: 38
        case .proxyAuthorization: 49
        case .setCookie: 55
        case .transferEncoding: 57
        case .userAgent: 58
        default: 0
        }
    }

    /// The number of this very field; 0: none.
    @inline(__always) static func number(of id: FieldName, _ value: Bytes) -> Int {
        switch id {
        case .method: value.equals("POST") ? 3 : value.equals("GET") ? 2 : 0
        case .scheme: value.equals("http") ? 6 : value.equals("https") ? 7 : 0
        case .status: value.equals("200") ? 8 : value.equals("404") ? 13 : value.equals("500") ? 14 : 0
        default: 0
        }
    }
}
