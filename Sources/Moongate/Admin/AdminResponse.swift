/// The statuses that the admin listener answers with.
enum AdminStatus: Int, Sendable {
    case ok = 200
    case badRequest = 400
    case notFound = 404
    case methodNotAllowed = 405
    case requestTimeout = 408
    case misdirected = 421
    case headersTooLarge = 431
    case unavailable = 503
    case versionNotSupported = 505

    var reason: String {
        switch self {
        case .ok: "OK"
        case .badRequest: "Bad Request"
        case .notFound: "Not Found"
        case .methodNotAllowed: "Method Not Allowed"
        case .requestTimeout: "Request Timeout"
        case .misdirected: "Misdirected Request"
        case .headersTooLarge: "Request Header Fields Too Large"
        case .unavailable: "Service Unavailable"
        case .versionNotSupported: "HTTP Version Not Supported"
        }
    }
}

/// An answer of the admin listener.
struct AdminResponse {
    var status: AdminStatus
    var contentType = "text/plain; charset=utf-8"
    var body: [UInt8]

    init(_ status: AdminStatus, contentType: String, body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    /// - Parameter text: one line; a line break is added.
    init(_ status: AdminStatus, _ text: String? = nil) {
        self.status = status
        body = Array(((text ?? status.reason) + "\n").utf8)
    }

    /// The bytes on the wire.
    ///
    /// - Parameters:
    ///   - withBody: false for HEAD; the length is announced all the same (RFC 9110 §9.3.2).
    ///   - unixMilliseconds: the time for the `date` field.
    func encoded(withBody: Bool, keepAlive: Bool, unixMilliseconds: Int64) -> [UInt8] {
        var head = "HTTP/1.1 \(status.rawValue) \(status.reason)\r\n"
        head += "date: \(AdminResponse.date(unixMilliseconds))\r\n"
        head += "content-type: \(contentType)\r\n"
        head += "content-length: \(body.count)\r\n"
        head += "cache-control: no-store\r\n"
        head += "x-content-type-options: nosniff\r\n"
        if status == .methodNotAllowed { head += "allow: GET, HEAD\r\n" }
        head += "connection: \(keepAlive ? "keep-alive" : "close")\r\n\r\n"
        return Array(head.utf8) + (withBody ? body : [])
    }

    /// RFC 9110 §5.6.7, `Sun, 06 Nov 1994 08:49:37 GMT`.
    private static func date(_ unixMilliseconds: Int64) -> String {
        let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let time = CalendarTime(unixMilliseconds: unixMilliseconds)
        let weekday = Int(max(0, unixMilliseconds) / 86_400_000 % 7)
        let two = { (number: Int) in number < 10 ? "0\(number)" : "\(number)" }
        return "\(days[weekday]), \(two(time.day)) \(months[time.month - 1]) \(time.year) "
            + "\(two(time.hour)):\(two(time.minute)):\(two(time.second)) GMT"
    }
}

/// Whether balancers may send requests here.
enum Readiness: Sendable, Equatable {
    /// No generation serves yet.
    case starting
    case ready
    case draining
    /// No worker takes turns.
    case stalled
}

/// Whether the process is worth keeping.
enum Liveness: Sendable, Equatable {
    case live
    /// A worker has not taken a turn for so long that it will not take one any more.
    case stalled
}

/// What the admin listener shows, given in by the server; called on the admin thread.
struct AdminEndpoints: Sendable {
    /// The Prometheus text.
    var metrics: @Sendable () -> [UInt8]
    var readiness: @Sendable () -> Readiness
    var liveness: @Sendable () -> Liveness = { .live }
    /// The newest files are not the ones that serve: a reload was refused.
    var isStale: @Sendable () -> Bool = { false }
    /// Policies and generations; `nil`: nothing is told of them.
    var report: EdgeReport?
    /// The names by which the listener may be asked.
    var hosts: @Sendable () -> AdminHosts = { AdminHosts() }

    func answer(_ request: AdminRequest) -> AdminResponse {
        switch request.host.map(hosts().verdict) ?? .accepted {
        case .accepted: page(request)
        case .malformed: AdminResponse(.badRequest)
        case .unknown:
            AdminResponse(
                .misdirected, "the admin listener is not known by this name: admin.hosts lists those that are")
        }
    }

    private func page(_ request: AdminRequest) -> AdminResponse {
        switch request.path {
        case "/metrics": AdminResponse(.ok, contentType: PrometheusText.contentType, body: metrics())
        case "/live":
            switch liveness() {
            case .live: AdminResponse(.ok, "live")
            case .stalled: AdminResponse(.unavailable, "stalled")
            }
        case "/ready":
            switch readiness() {
            case .ready where request.isStrict && isStale():
                AdminResponse(.unavailable, "stale: the newest files are refused, /policies says why")
            case .ready: AdminResponse(.ok, "ready")
            case .starting: AdminResponse(.unavailable, "starting")
            case .draining: AdminResponse(.unavailable, "draining")
            case .stalled: AdminResponse(.unavailable, "stalled")
            }
        default: report?.answer(request) ?? AdminResponse(.notFound)
        }
    }
}
