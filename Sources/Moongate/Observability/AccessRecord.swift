/// One finished request, as the access log shows it.
///
/// A trivial value: the bytes belong to the exchange, the connection or the generation and are read during
/// `AccessLogger.log` only. Empty bytes mean that there is nothing to say; the field is then left out.
struct AccessRecord {
    /// Milliseconds since 1970 at which the request's head was complete.
    var startedAt: Int64 = 0
    var requestID: Bytes = .empty
    /// Name of the listener.
    var listener: Bytes = .empty
    /// The client's address and port.
    var remote: Bytes = .empty
    /// The connection's other end, where that is a proxy which names the client.
    var peer: Bytes = .empty
    /// What TLS says of the client.
    var certificate = ClientCertificateFacts(nil)
    var method: Bytes = .empty
    var authority: Bytes = .empty
    /// Canonical, query included.
    var path: Bytes = .empty
    /// As the client sent it, where that is something else.
    var sentPath: Bytes = .empty
    /// Names in the configuration.
    var route: Bytes = .empty
    var upstream: Bytes = .empty
    /// Address and port of the endpoint.
    var endpoint: Bytes = .empty
    /// The policy that answered the request.
    var policy: Bytes = .empty
    /// Why the stream ended otherwise than by a complete answer: a reset code or our own reason.
    var termination: Bytes = .empty
    /// As the client saw it, from trailers, headers or the mapping; -1 for requests that are not gRPC.
    var grpcStatus: Int32 = -1
    /// 0 when no answer was begun.
    var httpStatus: UInt32 = 0
    /// Microseconds from the request's head to the stream's end.
    var duration: UInt64 = 0
    /// Body bytes received from and sent to the client.
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
    /// gRPC messages, counted by their prefixes.
    var messagesIn: UInt64 = 0
    var messagesOut: UInt64 = 0
    var generation: UInt64 = 0
    /// Attempts at an upstream; told where there was more than one.
    var attempts: UInt8 = 0

    /// Writes the record into `memory` as one line of JSON.
    func write(into memory: UnsafeMutableBufferPointer<UInt8>) -> Bytes {
        var line = JSONLine(memory)
        line.field(Bytes("time"), unixMilliseconds: startedAt)
        line.text("request_id", requestID)
        line.text("listener", listener)
        line.text("remote", remote)
        line.text("peer", peer)
        line.text("method", method)
        line.text("authority", authority)
        line.text("path", path, longest: 2048)
        line.text("path_sent", sentPath, longest: 2048)
        line.text("route", route)
        line.text("upstream", upstream)
        line.text("endpoint", endpoint)
        if attempts > 1 { line.field(Bytes("attempts"), UInt64(attempts)) }
        if grpcStatus >= 0 { line.field(Bytes("grpc_status"), UInt64(grpcStatus)) }
        if httpStatus > 0 { line.field(Bytes("http_status"), UInt64(httpStatus)) }
        line.field(Bytes("duration_ms"), milliseconds: duration)
        line.field(Bytes("bytes_in"), bytesIn)
        line.field(Bytes("bytes_out"), bytesOut)
        if grpcStatus >= 0 {
            line.field(Bytes("messages_in"), messagesIn)
            line.field(Bytes("messages_out"), messagesOut)
        }
        line.field(Bytes("generation"), generation)
        line.text("tls_version", certificate.version)
        line.text("tls_cipher", certificate.cipher)
        line.text("tls_server_name", certificate.serverName)
        line.text("client_certificate_subject", certificate.subject)
        line.text("client_certificate_sha256", certificate.digest)
        line.text("client_certificate_names", certificate.names)
        line.text("client_certificate_fault", certificate.fault)
        line.text("policy", policy)
        line.text("termination", termination)
        return line.end()
    }

    /// Enough for every field at its longest.
    static let longestLine = 16384
}

extension JSONLine {
    /// A field that is left out when it is empty.
    fileprivate mutating func text(_ name: StaticString, _ value: Bytes, longest: Int = 512) {
        if !value.isEmpty { field(Bytes(name), value, longest: longest) }
    }
}
