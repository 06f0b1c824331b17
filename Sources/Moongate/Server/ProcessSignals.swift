import CMoongate
import Glibc

/// The signals that steer the process, read like a file by the control thread.
final class ProcessSignals {
    enum Signal: Equatable {
        /// SIGHUP.
        case reload
        /// SIGTERM.
        case terminate
        /// SIGINT.
        case interrupt
        /// SIGUSR2.
        case upgrade
    }

    /// Readable when `next` has something.
    let file: Int32

    /// - Throws: `SystemError` when the system has no descriptor left.
    init() throws(SystemError) {
        var mask = ProcessSignals.mask()
        file = signalfd(-1, &mask, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
        guard file >= 0 else { throw SystemError("signalfd") }
    }

    deinit { close(file) }

    /// Keeps the signals for `next` and ignores SIGPIPE, which would end the process when a peer hangs up.
    ///
    /// To be called on the first thread before there is another one: a thread that does not block them would get
    /// them instead.
    static func takeOver() {
        signal(SIGPIPE, SIG_IGN)
        var mask = mask()
        pthread_sigmask(SIG_BLOCK, &mask, nil)
    }

    /// The next waiting signal.
    func next() -> Signal? {
        var info = signalfd_siginfo()
        while read(file, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size {
            switch Int32(info.ssi_signo) {
            case SIGHUP: return .reload
            case SIGTERM: return .terminate
            case SIGINT: return .interrupt
            case SIGUSR2: return .upgrade
            default: continue
            }
        }
        return nil
    }

    private static func mask() -> sigset_t {
        var mask = sigset_t()
        sigemptyset(&mask)
        for signal in [SIGHUP, SIGTERM, SIGINT, SIGUSR2] { sigaddset(&mask, signal) }
        return mask
    }
}
