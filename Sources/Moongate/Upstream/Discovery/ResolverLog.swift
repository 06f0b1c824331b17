import Logging

/// Tells people how questions about names end: each is counted, and the log has the first failure of a name and its end.
final class ResolverLog: Sendable {
    private let metrics: ProcessMetrics
    private let log: Logger

    init(_ metrics: ProcessMetrics, log: Logger) {
        self.metrics = metrics
        self.log = log
    }

    func answered(_ question: NameQuestion, wasFailing: Bool) {
        metrics.nameResolved()
        guard wasFailing else { return }
        log.notice("name resolves again", metadata: ["name": "\(question.name)"])
    }

    /// An answer has more endpoints than are used.
    func cut(_ question: NameQuestion, to count: Int) {
        log.warning(
            "a name has more addresses than are used", metadata: ["name": "\(question.name)", "used": "\(count)"])
    }

    /// - Parameter isFirst: the question before had an answer, or there was none.
    func failed(_ question: NameQuestion, _ failure: NameFailure, isFirst: Bool) {
        metrics.nameFailed()
        guard isFirst else { return }
        log.warning("cannot resolve name", metadata: ["name": "\(question.name)", "reason": "\(failure)"])
    }
}
