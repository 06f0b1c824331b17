import CMoongate
import Glibc

/// Work that other threads leave for an event loop: a locked list and an eventfd that wakes the loop.
///
/// Never on the way of a request: generations, DNS answers, verified passwords, accepted connections.
final class Mailbox: Sendable {
    typealias Work = @Sendable () -> Void

    let descriptor: Int32
    private let waiting = Locked<[Work]>([])

    /// - Throws: `SystemError` when the process is out of file descriptors.
    init() throws(SystemError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError("eventfd") }
    }

    deinit { close(descriptor) }

    /// Runs `work` on the loop's thread, in the order of posting. Callable from any thread.
    func post(_ work: @escaping Work) {
        let wasEmpty = waiting.withLock { list in
            list.append(work)
            return list.count == 1
        }
        guard wasEmpty else { return }
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Runs everything posted so far. On the loop's thread.
    func drain() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
        let list = waiting.withLock { list in
            let taken = list
            list = []
            return taken
        }
        for work in list { work() }
    }
}
