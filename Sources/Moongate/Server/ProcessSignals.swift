import CMoongate
import Glibc

/// The signals that steer the process, read like a file by the control thread.
final class ProcessSignals {
    enum Signal: Equatable {
        /// SIGHUP.
        case reload
        /// SIGUSR1.
        case reopenLogs
        /// SIGTERM.
        case terminate
        /// SIGINT.
        case interrupt
        /// SIGUSR2.
        case upgrade
        /// SIGCHLD.
        case childEnded
    }

    /// Readable when `next` has something new.
    let file: Int32
    private var earlier: [Signal] = []

    /// - Throws: `SystemError` when the system has no descriptor left.
    init() throws(SystemError) {
        var mask = ProcessSignals.mask()
        file = signalfd(-1, &mask, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
        guard file >= 0 else { throw SystemError("signalfd") }
    }

    deinit { close(file) }

    /// Keeps the signals for `next`, and ignores those that would end or stop the process without need.
    ///
    /// To be called on the first thread before there is another one: a thread that does not block them would get
    /// them instead.
    static func takeOver() {
        for number in ignored { signal(number, SIG_IGN) }
        // Where whoever started the process ignores it, nobody hears of children that end.
        signal(SIGCHLD, SIG_DFL)
        var mask = mask()
        pthread_sigmask(SIG_BLOCK, &mask, nil)
    }

    /// Their default action ends the process (signal(7)), the last two stop it.
    ///
    /// - SIGPIPE, SIGXFSZ: a peer hangs up, a log file has reached RLIMIT_FSIZE. The write then fails with EPIPE or EFBIG.
    /// - SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT and the real-time signals: nothing here asks for them. Whoever
    ///   sends one by mistake does not mean to end the edge.
    /// - SIGTTIN, SIGTTOU: a process in the background uses its terminal, such as for its log (`stty tostop`).
    ///
    /// Others keep their default: faults (SIGSEGV and the like), SIGQUIT and SIGABRT leave a core, SIGXCPU is a limit that
    /// somebody has set, SIGTSTP is Ctrl-Z.
    static let ignored: [Int32] =
        [
            SIGPIPE, SIGXFSZ, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGTTIN, SIGTTOU,
        ] + Array(__libc_current_sigrtmin()...__libc_current_sigrtmax())

    /// Gives a signal again with the next calls of `next`: it came before anybody could obey it.
    func putBack(_ signal: Signal) { earlier.append(signal) }

    /// The next waiting signal.
    func next() -> Signal? {
        if !earlier.isEmpty { return earlier.removeFirst() }
        var info = signalfd_siginfo()
        while read(file, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size {
            switch Int32(info.ssi_signo) {
            case SIGHUP: return .reload
            case SIGUSR1: return .reopenLogs
            case SIGTERM: return .terminate
            case SIGINT: return .interrupt
            case SIGUSR2: return .upgrade
            case SIGCHLD: return .childEnded
            default: continue
            }
        }
        return nil
    }

    private static func mask() -> sigset_t {
        var mask = sigset_t()
        sigemptyset(&mask)
        for signal in OSThread.processSignals { sigaddset(&mask, signal) }
        return mask
    }
}
