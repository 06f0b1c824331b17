import COpenSSL
import Glibc

// Every function that OpenSSL calls: unwrap, call one method, map the result.

/// Notes that a passphrase was asked for and gives none: OpenSSL's own callback would ask on the terminal.
func refusePassphrase(
    _ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32, _ isWriting: Int32, _ asked: UnsafeMutableRawPointer?
) -> Int32 {
    asked?.assumingMemoryBound(to: Bool.self).pointee = true
    return -1
}

/// Refuses a client that offers no protocols at all; OpenSSL asks `selectProtocol` only if there is an offer.
func inspectClientHello(
    _ session: OpaquePointer?, _ alert: UnsafeMutablePointer<Int32>?, _ argument: UnsafeMutableRawPointer?
) -> Int32 {
    var content: UnsafePointer<UInt8>?
    var length = 0
    let kind = UInt32(TLSEXT_TYPE_application_layer_protocol_negotiation)
    if SSL_client_hello_get0_ext(session, kind, &content, &length) == 1 { return SSL_CLIENT_HELLO_SUCCESS }
    alert?.pointee = SSL_AD_NO_APPLICATION_PROTOCOL
    return SSL_CLIENT_HELLO_ERROR
}

/// RFC 7301 §3.2: `h2`, or the alert `no_application_protocol`.
func selectProtocol(
    _ session: OpaquePointer?, _ selected: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ selectedLength: UnsafeMutablePointer<UInt8>?, _ offer: UnsafePointer<UInt8>?, _ offerLength: UInt32,
    _ argument: UnsafeMutableRawPointer?
) -> Int32 {
    guard let offer, let found = TLSServerContext.findHTTP2(Bytes(offer, Int(offerLength))) else {
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }
    selected?.pointee = found.base
    selectedLength?.pointee = UInt8(found.count)
    return SSL_TLSEXT_ERR_OK
}

/// Accepts every server name, which keeps it with the session; the certificate is chosen in `chooseCertificate`.
func acceptServerName(
    _ session: OpaquePointer?, _ alert: UnsafeMutablePointer<Int32>?, _ argument: UnsafeMutableRawPointer?
) -> Int32 {
    SSL_TLSEXT_ERR_OK
}

/// Runs once the client's hello is known, on handshakes that resume nothing.
func chooseCertificate(_ session: OpaquePointer?, _ argument: UnsafeMutableRawPointer?) -> Int32 {
    guard let session, let context = TLSServerContext.from(argument) else { return 0 }
    return context.useCertificates(for: session) ? 1 : 0
}

/// Seals (`isSealing` 1) or opens a session ticket. -1: fault, 0: unknown key, 1: done, 2: done, and send a new one.
func useTicketKey(
    _ session: OpaquePointer?, _ name: UnsafeMutablePointer<UInt8>?, _ iv: UnsafeMutablePointer<UInt8>?,
    _ cipher: OpaquePointer?, _ mac: OpaquePointer?, _ isSealing: Int32
) -> Int32 {
    guard let session, let name, let iv, let context = TLSServerContext.from(session: session) else { return -1 }
    let ticket = TicketCipher(cipher: cipher, mac: mac, iv: iv)
    let keyName = UnsafeMutableRawBufferPointer(start: name, count: TicketKeys.Key.nameLength)
    if isSealing == 1 { return ticket.seal(with: context.ticketKeys.sealingKey(), name: keyName) ? 1 : -1 }
    guard let found = context.ticketKeys.openingKey(named: UnsafeRawBufferPointer(keyName)) else { return 0 }
    guard ticket.open(with: found.key) else { return -1 }
    return found.renew ? 2 : 1
}

/// Judges a peer's chain. 1: the handshake goes on.
func verifyPeer(_ store: OpaquePointer?, _ verification: UnsafeMutableRawPointer?) -> Int32 {
    guard let store, let verification else { return 0 }
    let judge = Unmanaged<PeerVerification>.fromOpaque(verification).takeUnretainedValue()
    return judge.accepts(store) ? 1 : 0
}

/// A server has given a session. 1: its share is taken over.
func keepSession(_ session: OpaquePointer?, _ new: OpaquePointer?) -> Int32 {
    guard let session, let new, let peer = TLSSession.from(session)?.peer else { return 0 }
    peer.keep(new)
    return 1
}

/// Whether the session in a client's ticket may be resumed. It spares the verification of the client's certificate, so
/// one that has expired meanwhile must be shown again.
func judgeTicket(
    _ session: OpaquePointer?, _ found: OpaquePointer?, _ keyName: UnsafePointer<UInt8>?, _ keyNameLength: Int,
    _ status: SSL_TICKET_STATUS, _ argument: UnsafeMutableRawPointer?
) -> SSL_TICKET_RETURN {
    let isGood = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW
    guard isGood, let found else { return SSL_TICKET_RETURN_IGNORE_RENEW }
    if let peer = SSL_SESSION_get0_peer(found), X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0 {
        return SSL_TICKET_RETURN_IGNORE_RENEW
    }
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW
}
