/// The octets that the calls of one waiting hook carry, in the account of the client's connection (`limits.request_buffer`),
/// until they have ended. A client that has the edge carry too much loses its own request, and nobody else's.
///
/// A run without an exchange, such as a timer's, has no account.
final class CallHold {
    private let octets: Int
    private let account: CallAccount?
    /// `nil`: nothing is held any more.
    private var owner: UnsafeMutableRawPointer?

    /// `nil`: the connection's account is full.
    init?(_ octets: Int, _ run: PolicyRun, _ host: PolicyHost) {
        self.octets = octets
        account = host.callAccount
        owner = run.owner
        guard let owner, let account else { return }
        guard account.hold(owner, octets) else { return nil }
    }

    /// To be called while the run exists. Calling it again does nothing.
    func release() {
        guard let owner else { return }
        self.owner = nil
        account?.release(owner, octets)
    }
}

/// The account that the owner of a run keeps of the octets that its calls carry.
struct CallAccount {
    /// False: there is no room for so many octets.
    var hold: (_ owner: UnsafeMutableRawPointer, _ octets: Int) -> Bool
    var release: (_ owner: UnsafeMutableRawPointer, _ octets: Int) -> Void
}
