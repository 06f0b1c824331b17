import COpenSSL

/// The keys that session tickets are sealed with, one set for the process and all generations, so that a reload
/// does not end anybody's TLS session.
///
/// A key seals for one lifetime and opens for one more. Rotation happens on use: no timer, one lock per full or
/// resumed handshake.
final class TicketKeys: Sendable {
    /// Names, encrypts (AES-256-CBC) and authenticates (HMAC-SHA256) one ticket, as RFC 5077 §4 recommends.
    struct Key: Sendable, Equatable {
        static let nameLength = 16
        let name: [UInt8]
        let encryption: [UInt8]
        let authentication: [UInt8]
    }

    private struct State {
        var sealing: Key
        var begun: ContinuousClock.Instant
        /// The key before; it only opens.
        var previous: Key?
    }

    private let lifetime: Duration
    private let state: Locked<State>

    /// - Parameter lifetime: how long one key seals. Tickets live at least as long, at most twice.
    init(lifetime: Duration = .seconds(3600)) {
        self.lifetime = lifetime
        state = Locked(State(sealing: TicketKeys.makeKey(), begun: .now, previous: nil))
    }

    /// The key for a new ticket.
    func sealingKey(at now: ContinuousClock.Instant = .now) -> Key {
        state.withLock { state in
            rotate(&state, now)
            return state.sealing
        }
    }

    /// The key of that name, and whether the ticket should be replaced by a fresh one. `nil`: unknown or too old.
    func openingKey(named name: UnsafeRawBufferPointer, at now: ContinuousClock.Instant = .now)
        -> (key: Key, renew: Bool)?
    {
        state.withLock { state in
            rotate(&state, now)
            if name.elementsEqual(state.sealing.name) { return (state.sealing, false) }
            if let previous = state.previous, name.elementsEqual(previous.name) { return (previous, true) }
            return nil
        }
    }

    private func rotate(_ state: inout State, _ now: ContinuousClock.Instant) {
        let age = state.begun.duration(to: now)
        guard age >= lifetime else { return }
        state.previous = age < lifetime + lifetime ? state.sealing : nil
        state.sealing = TicketKeys.makeKey()
        state.begun = now
    }

    private static func makeKey() -> Key {
        Key(name: random(Key.nameLength), encryption: random(32), authentication: random(32))
    }

    /// The system generator stands in if OpenSSL's has no entropy, which on Linux means never.
    private static func random(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        if RAND_bytes(&bytes, Int32(count)) == 1 { return bytes }
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }
}
