/// Looks at the fields of one header section as they come and says whether the message is malformed (RFC 9113 §8.1.1).
///
/// A value: the connection has one for the section that is being received.
struct MessageCheck {
    /// What the section may hold.
    enum Kind {
        case request, response, trailers
        /// Trailers of a request.
        case requestTrailers
    }

    private let kind: Kind
    private(set) var isMalformed = false
    private var hasRegular = false
    private var seen: Pseudo = []
    private var isConnect = false
    private var hasHost = false
    /// -1: not given.
    private(set) var contentLength: Int64 = -1
    /// Of a response; 0: none yet.
    private(set) var status = 0

    private struct Pseudo: OptionSet {
        let rawValue: UInt8
        static let method = Pseudo(rawValue: 1)
        static let scheme = Pseudo(rawValue: 2)
        static let path = Pseudo(rawValue: 4)
        static let authority = Pseudo(rawValue: 8)
        static let status = Pseudo(rawValue: 16)
    }

    init(_ kind: Kind) { self.kind = kind }

    /// The head of a response that others follow.
    var isInterim: Bool { kind == .response && status < 200 }

    /// The next field of the section.
    @inline(__always) mutating func take(_ field: DecodedField) {
        guard field.isSound else { return isMalformed = true }
        if field.name[0] == UInt8(ascii: ":") {
            if !takePseudo(field.id, field.value) { isMalformed = true }
        } else {
            hasRegular = true
            if field.id.isOneName && !takeKnown(field.id, field.value) { isMalformed = true }
        }
    }

    /// The section is complete.
    mutating func finish(endsStream: Bool) {
        guard !isMalformed else { return }
        switch kind {
        case .request: isMalformed = !isCompleteRequest
        case .response:
            let isOdd = status < 200 && (endsStream || contentLength >= 0)
            // RFC 9110 §8.6, §15.3.6; "0" is common.
            let isContradictory = (status == 204 || status == 205) && contentLength > 0
            isMalformed = status == 0 || status == 101 || isOdd || isContradictory
        // §8.1: trailers end the stream.
        case .trailers, .requestTrailers: isMalformed = !endsStream
        }
    }

    /// §8.3.1, §8.5
    private var isCompleteRequest: Bool {
        if isConnect { return seen == [.method, .authority] }
        return seen.isSuperset(of: [.method, .scheme, .path]) && (seen.contains(.authority) || hasHost)
    }

    // MARK: Pseudo-headers

    /// §8.3: known ones of the right kind, once each, before all others.
    @inline(__always) private mutating func takePseudo(_ id: FieldName, _ value: Bytes) -> Bool {
        guard !hasRegular else { return false }
        switch id {
        case .method:
            isConnect = value.equals("CONNECT")
            return kind == .request && see(.method)
        case .scheme: return kind == .request && see(.scheme)
        case .path: return kind == .request && see(.path)
        case .authority: return kind == .request && see(.authority)
        case .status:
            status = HTTPStatus.parse(value)
            return kind == .response && see(.status)
        default: return false
        }
    }

    @inline(__always) private mutating func see(_ pseudo: Pseudo) -> Bool { seen.insert(pseudo).inserted }

    // MARK: Fields

    @inline(__always) private mutating func takeKnown(_ id: FieldName, _ value: Bytes) -> Bool {
        switch id {
        // §8.2.2
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: return false
        case .te: return value.equalsIgnoringCase(Bytes("trailers"))
        // RFC 9110 §6.5.1: what says how a message is framed, and whom a request is for, stands in the head.
        case .contentLength: return (kind == .request || kind == .response) && takeContentLength(value)
        case .host:
            // RFC 9112 §3.2: more than one could be read differently by different servers.
            guard !hasHost, kind != .requestTrailers else { return false }
            hasHost = true
            return true
        default: return true
        }
    }

    private mutating func takeContentLength(_ value: Bytes) -> Bool {
        guard contentLength < 0, let length = ContentLength.parse(value) else { return false }
        contentLength = length
        return true
    }
}
