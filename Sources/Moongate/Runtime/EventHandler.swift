/// What stands behind a file descriptor of an event loop.
///
/// Subclasses are used on their loop's thread only.
class EventHandler {
    /// The kernel reports `events` (`EPOLLIN`, …) for the descriptor.
    func ready(_ events: UInt32) {}

    /// The end of a loop turn, after `EventLoop.flushLater`.
    func flush() {}

    /// The read buffer is about to be reused, after `EventLoop.flushAfterRead`.
    func flushBorrowed() {}

    /// The next turn, after `EventLoop.runAgain`: there may be input that the kernel will not report.
    func again() {}
}
