/// Tells a host that the loop's turn has ended, or that the next one has begun.
final class PolicyTurnEnd: EventHandler {
    private weak var host: PolicyHost?
    init(_ host: PolicyHost) { self.host = host }
    override func flush() { host?.turnEnded() }
    override func again() { host?.turnBegan() }
}
