import Glibc

/// One client of the admin listener. Owned and used by the admin thread.
final class AdminConnection {
    /// How long each part of a connection's life may take, in milliseconds.
    struct Timeouts: Sendable {
        /// From the first byte of a request to the end of its head.
        var head: Int64 = 5_000
        /// Between requests.
        var idle: Int64 = 60_000
        /// For an answer to be taken.
        var write: Int64 = 10_000
        /// After the last answer, for the client to close.
        var linger: Int64 = 1_000
    }

    private enum Phase {
        case idle
        case reading
        case writing
        /// All is said; what still comes is thrown away, because closing at once could take the answer back
        /// (RFC 9112 §9.6).
        case lingering
    }

    let file: Int32
    private let endpoints: AdminEndpoints
    private let timeouts: Timeouts
    private var phase = Phase.idle
    /// When the phase began, in milliseconds.
    private var since: Int64
    private var input: [UInt8] = []
    private var output: [UInt8] = []
    private var written = 0
    private var keepAlive = true

    init(file: Int32, endpoints: AdminEndpoints, timeouts: Timeouts, now: Int64) {
        self.file = file
        self.endpoints = endpoints
        self.timeouts = timeouts
        since = now
    }

    deinit { close(file) }

    /// What to wait for.
    var events: Int16 { phase == .writing ? Int16(POLLOUT) : Int16(POLLIN) }

    /// When this phase has lasted too long, in milliseconds.
    var deadline: Int64 {
        switch phase {
        case .idle: since + timeouts.idle
        case .reading: since + timeouts.head
        case .writing: since + timeouts.write
        case .lingering: since + timeouts.linger
        }
    }

    /// Which connection goes first when there are too many: the one that has waited longest for its client.
    var waitingSince: Int64 { phase == .writing ? .max : since }

    /// The socket is ready. `false`: the connection is done with.
    func ready(now: Int64) -> Bool {
        switch phase {
        case .idle, .reading: receive(now)
        case .writing: send(now)
        case .lingering: discard()
        }
    }

    /// The deadline has passed. `false`: the connection is done with.
    func expired(now: Int64) -> Bool {
        guard phase == .reading else { return false }
        refuse(.requestTimeout)
        return send(now)
    }

    private func receive(_ now: Int64) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = read(file, &chunk, chunk.count)
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        guard count > 0 else { return false }
        if phase == .idle { enter(.reading, now) }
        input += chunk[..<count]
        return takeRequests(now)
    }

    /// Answers the requests that are complete, one after the other.
    private func takeRequests(_ now: Int64) -> Bool {
        guard !input.isEmpty else {
            enter(.idle, now)
            return true
        }
        switch AdminRequest.parse(input) {
        case .needMore: return true
        case .refused(let status): refuse(status)
        case .request(let request, let length):
            input.removeFirst(length)
            keepAlive = request.keepAlive
            output = endpoints.answer(request).encoded(
                withBody: request.method == "GET", keepAlive: keepAlive,
                unixMilliseconds: CalendarTime.unixMillisecondsNow())
        }
        enter(.writing, now)
        return send(now)
    }

    private func refuse(_ status: AdminStatus) {
        keepAlive = false
        output = AdminResponse(status).encoded(
            withBody: true, keepAlive: false, unixMilliseconds: CalendarTime.unixMillisecondsNow())
    }

    private func send(_ now: Int64) -> Bool {
        while written < output.count {
            let count = output.withUnsafeBytes { bytes in
                Glibc.send(
                    file, bytes.baseAddress.map { $0 + written }, bytes.count - written, Int32(MSG_NOSIGNAL))
            }
            guard count >= 0 else {
                enter(.writing, phase == .writing ? since : now)
                return errno == EAGAIN || errno == EINTR
            }
            written += count
        }
        output = []
        written = 0
        guard keepAlive else {
            input = []
            enter(.lingering, now)
            return shutdown(file, Int32(SHUT_WR)) == 0
        }
        enter(input.isEmpty ? .idle : .reading, now)
        return takeRequests(now)
    }

    private func discard() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = read(file, &chunk, chunk.count)
        return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))
    }

    private func enter(_ phase: Phase, _ now: Int64) {
        self.phase = phase
        since = now
    }
}
