import CMoongate
import Glibc

/// One thread of the operating system that runs one closure to its end.
///
/// Started threads block the signals that steer the process: those belong to the control thread.
final class OSThread: Sendable {
    private enum Handle {
        case running(pthread_t)
        case joined
    }
    private let handle: Locked<Handle>

    /// What the control thread reads like a file (`ProcessSignals`).
    static let processSignals = [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD]

    private init(_ thread: pthread_t) {
        handle = Locked(.running(thread))
    }

    /// Runs `body` on a new thread.
    ///
    /// - Parameters:
    ///   - name: shown by `ps -L` and debuggers; the kernel keeps the first 15 bytes.
    ///   - stackSize: in bytes; raised to what the system demands at least.
    /// - Throws: `SystemError` when the system refuses another thread.
    static func start(
        name: String, stackSize: Int = 1 << 20, body: @escaping @Sendable () -> Void
    ) throws(SystemError) -> OSThread {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, max(stackSize, smallestStack))

        let start = Unmanaged.passRetained(ThreadStart(name: name, body: body))
        var thread = pthread_t()
        let code = withProcessSignalsBlocked {
            pthread_create(&thread, &attributes, runThread, start.toOpaque())
        }
        guard code == 0 else {
            start.release()
            throw SystemError("pthread_create \(name)", code: code)
        }
        return OSThread(thread)
    }

    /// Waits until the closure has returned. Later calls return at once; never to be called on the thread itself.
    func join() {
        let thread: pthread_t? = handle.withLock { handle in
            guard case .running(let thread) = handle else { return nil }
            handle = .joined
            return thread
        }
        if let thread { pthread_join(thread, nil) }
    }

    /// As `join()` without a deadline, else as `join(until:)`.
    func join(by deadline: Instant?) -> Bool {
        if let deadline { return join(until: deadline) }
        join()
        return true
    }

    /// Waits until the closure has returned, at most until `deadline`; then the thread is one that may be waited for again.
    ///
    /// - Returns: whether it has.
    func join(until deadline: Instant) -> Bool {
        let thread: pthread_t? = handle.withLock { handle in
            guard case .running(let thread) = handle else { return nil }
            handle = .joined
            return thread
        }
        guard let thread else { return true }
        let now = Clock.now()
        if mg_join_thread(thread, deadline > now ? deadline - now : 0) { return true }
        handle.withLock { $0 = .running(thread) }
        return false
    }

    /// Nobody will wait for the thread; it leaves nothing behind when it ends.
    func detach() {
        let thread: pthread_t? = handle.withLock { handle in
            guard case .running(let thread) = handle else { return nil }
            handle = .joined
            return thread
        }
        if let thread { pthread_detach(thread) }
    }

    deinit {
        if case .running(let thread) = handle.withLock({ $0 }) { pthread_detach(thread) }
    }
}

/// glibc's floor of 16 KiB is too little for Swift's own start-up.
private let smallestStack = 256 << 10

private final class ThreadStart {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

private func runThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    let start = Unmanaged<ThreadStart>.fromOpaque(context).takeRetainedValue()
    mg_set_thread_name(String(decoding: start.name.utf8.prefix(15), as: UTF8.self))
    start.body()
    return nil
}

/// A new thread inherits the mask of its creator. Other signals stay open: the script guard uses one per thread.
private func withProcessSignalsBlocked<Result>(_ body: () -> Result) -> Result {
    var mask = sigset_t()
    var before = sigset_t()
    sigemptyset(&mask)
    for signal in OSThread.processSignals { sigaddset(&mask, signal) }
    pthread_sigmask(SIG_BLOCK, &mask, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    return body()
}
