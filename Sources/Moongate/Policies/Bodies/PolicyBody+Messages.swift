/// Stages that take a body message by message.
extension PolicyBody {
    /// So many messages may cost some milliseconds: a million tiny ones must not hold the worker.
    static let messagesPerTurn = 256

    /// Gives the script its next message, once that is complete.
    ///
    /// A message that has begun is gathered even if what is behind the stage is full: its bytes give the sender its
    /// window back, or it could never end. None is begun then.
    func giveMessage(_ stage: BodyStage, _ frame: SuspendedHook, _ index: Int) -> Bool {
        let moved = flush(stage, index)
        guard stage.reader?.isWithinMessage == true || hasRoom(after: index) else { return moved }
        guard messagesLeft > 0 else {
            host.expectNextTurn(run)
            return moved
        }
        switch stage.reader?.next(&stage.input) ?? .incomplete {
        case .message(let message):
            messagesLeft -= 1
            stage.chunk = message
            run.give(stage.lend(message, as: PolicyClasses.grpcMessage), to: frame)
        case .incomplete:
            guard stage.inputEnded else { return moved }
            guard stage.hasNoMoreMessages else {
                run.refuse(frame, .messageCut)
                return true
            }
            run.goOn(frame, .object(nil))
        case .tooLarge: run.refuse(frame, .messageTooLarge(limit: stage.reader?.limit ?? 0))
        }
        return true
    }
}
