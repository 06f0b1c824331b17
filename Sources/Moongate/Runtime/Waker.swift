import CMoongate
import Glibc

/// Wakes a thread that waits in `poll` or `epoll_wait`: an eventfd.
final class Waker: Sendable {
    /// Readable after a ring, until answered.
    let file: Int32

    init() throws(SystemError) {
        file = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        guard file >= 0 else { throw SystemError("eventfd") }
    }

    deinit { close(file) }

    /// From any thread. Many rings before an answer count as one.
    func ring() { eventfd_write(file, 1) }

    /// Makes the bell silent again; to be called before looking at what it announced.
    func answer() {
        var count: eventfd_t = 0
        eventfd_read(file, &count)
    }
}
