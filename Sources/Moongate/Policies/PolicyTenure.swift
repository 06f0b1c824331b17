/// A host in service: held by every generation that its policies serve. With the last of them the policies are closed.
///
/// Not the host's own end, since nothing may refer to a host weakly while that goes on, as leaves do.
final class PolicyTenure {
    let host: PolicyHost

    init(_ host: PolicyHost) { self.host = host }

    deinit { host.close() }
}
