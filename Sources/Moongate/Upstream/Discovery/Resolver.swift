/// Knows the addresses behind names, for all workers: every name is asked once for the process, on a thread of its own, and
/// who watches it hears of each change. A failed question leaves what is known as it is; the watcher hears why it failed.
final class Resolver: Sendable {
    /// The interest in one name; ends with the object.
    final class Watch: Sendable {
        private let end: @Sendable () -> Void
        fileprivate init(_ end: @escaping @Sendable () -> Void) { self.end = end }
        deinit { end() }
    }

    private let mailbox: Mailbox
    private let names: LoopBound<ResolverNames>
    /// `nil`: somebody else turns the names' loop.
    private let thread: OSThread?
    private let numbers = Locked<UInt64>(0)

    /// - Throws: when the system has no descriptors or threads left, or c-ares does not begin.
    convenience init(_ settings: DNSSettings, resolverLog: ResolverLog) throws {
        let loop = try EventLoop()
        let client = try DNSClient(loop: loop, settings: settings)
        try self.init(ResolverNames(loop: loop, source: client, resolverLog: resolverLog))
    }

    /// - Parameter names: nobody else uses them or their loop.
    init(_ names: ResolverNames) throws {
        mailbox = names.loop.mailbox
        self.names = LoopBound(names)
        let handover = Handover(names)
        thread = try OSThread.start(name: "resolver") {
            guard let names = handover.take() else { return }
            names.loop.run()
            names.end()
        }
    }

    /// Without a thread: on the loop's own thread all happens in the order in which it was asked for.
    ///
    /// - Parameter names: the caller keeps them and turns their loop.
    init(inline names: ResolverNames) {
        mailbox = names.loop.mailbox
        self.names = LoopBound(names)
        thread = nil
    }

    /// Watches a name from now on.
    ///
    /// - Parameters:
    ///   - refresh: nanoseconds after which it is asked again at the latest.
    ///   - observer: called on the resolver's thread, first with what is known already.
    func watch(_ question: NameQuestion, refresh: UInt64, _ observer: @escaping NameWatch.Observer) -> Watch {
        let number = numbers.withLock { number in
            number += 1
            return number
        }
        let mailbox = mailbox
        let names = names
        mailbox.post { names.value?.add(question, number, refresh: refresh, observer) }
        return Watch { mailbox.post { names.value?.remove(question, number) } }
    }

    /// Asks other servers from now on; every name is asked anew.
    func use(_ settings: DNSSettings) {
        let names = names
        mailbox.post { names.value?.use(settings) }
    }

    /// Ends the thread; nobody hears anything any more.
    ///
    /// - Parameter deadline: until when to wait for that; `nil`: as long as it takes.
    /// - Returns: whether it has ended.
    @discardableResult
    func stop(by deadline: Instant? = nil) -> Bool {
        guard let thread else { return true }
        let names = names
        mailbox.post { names.value?.loop.stop() }
        return thread.join(by: deadline)
    }
}

/// All names that are watched, on the resolver's thread.
final class ResolverNames {
    let loop: EventLoop
    private let source: NameSource
    private let resolverLog: ResolverLog
    private var watches: [NameQuestion: NameWatch] = [:]

    init(loop: EventLoop, source: NameSource, resolverLog: ResolverLog) {
        self.loop = loop
        self.source = source
        self.resolverLog = resolverLog
    }

    func add(
        _ question: NameQuestion, _ number: UInt64, refresh: UInt64, _ observer: @escaping NameWatch.Observer
    ) {
        let watch = watches[question] ?? NameWatch(question, source: source, resolverLog: resolverLog, loop: loop)
        watches[question] = watch
        watch.add(number, refresh: refresh, observer)
    }

    func remove(_ question: NameQuestion, _ number: UInt64) {
        guard let watch = watches[question] else { return }
        watch.remove(number)
        if watch.isIdle { watches[question] = nil }
    }

    func use(_ settings: DNSSettings) {
        // Should c-ares refuse, names fail with the reason until the next change.
        guard let client = source as? DNSClient, client.settings != settings else { return }
        try? client.use(settings)
        for watch in watches.values { watch.askAnew() }
    }

    func end() {
        watches = [:]
        (source as? DNSClient)?.close()
    }
}
