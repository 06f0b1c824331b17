import CMoongate
import Glibc

/// A connection that has nothing more to say: what was written last is on its way, and what still comes is read and dropped
/// until the peer has it (`LingerSchedule`).
///
/// Takes the transport over from the connection, which is gone by then, and closes it. Lives on one loop's thread; its owner keeps
/// it until it has ended.
final class LingeringClose: EventHandler {
    /// Octets that one turn reads: a peer that never stops sending has no more of the loop than others.
    private static let readSize = 16 * 1024

    private enum Step {
        /// The kernel has not taken everything yet.
        case writing
        /// It has, and TLS is to say that this was all.
        case notifying
        /// Our side is closed.
        case waiting
        case ended
    }

    private let loop: EventLoop
    private let descriptor: Int32
    private var transport: Transport
    private var rest: PendingBytes
    /// For `rest`, which outlives its requests.
    private var memory: MemoryPermit
    private var step = Step.writing
    /// The kernel is to tell when it takes more.
    private var awaitsRoom = false
    private var schedule: LingerSchedule
    private var timer: OwnedTimer?
    private let whenEnded: () -> Void

    /// - Parameter whenEnded: called once, when the socket is closed.
    init(_ leaving: LeavingTransport, loop: EventLoop, whenEnded: @escaping () -> Void) {
        self.loop = loop
        self.whenEnded = whenEnded
        transport = leaving.transport
        rest = leaving.rest
        memory = MemoryPermit(loop.memory, .closing)
        descriptor = leaving.transport.fd
        schedule = LingerSchedule(
            leaving.limits,
            LingerSchedule.View(now: loop.now, unacknowledged: LingeringClose.count(leaving.rest, descriptor)))
        super.init()
        timer = OwnedTimer(loop) { [weak self] in self?.look() }
    }

    deinit { rest.clear() }

    func begin() {
        // Without room it cannot be kept, and what the client has not got is lost.
        guard rest.isEmpty || memory.tryGrow(by: rest.bytes.count) else { return end() }
        do {
            try loop.add(descriptor, EPOLLIN.rawValue, self)
        } catch {
            return end()
        }
        goOn()
        look()
    }

    /// Whether it keeps octets that the kernel has not taken.
    var holds: Bool { !rest.isEmpty }

    /// Closes the socket now.
    func end() {
        guard step != .ended else { return }
        step = .ended
        timer?.clear()
        rest.clear()
        memory.shrink(to: 0)
        loop.remove(descriptor)
        transport.close()
        loop.releaseLater(self)
        whenEnded()
    }

    override func ready(_ events: UInt32) {
        guard step != .ended else { return }
        if events & EPOLLOUT.rawValue != 0 { goOn() }
        if step != .ended, events & ~EPOLLOUT.rawValue != 0 { discard() }
    }

    // MARK: What is left to say

    private func goOn() {
        if step == .writing && writeRest() { step = .notifying }
        if step == .notifying && notify() {
            step = .waiting
            transport.endOutput()
            wait(forRoom: false)
        }
    }

    private func writeRest() -> Bool {
        while !rest.isEmpty {
            switch transport.write(rest.bytes) {
            case .bytes(let count): rest.dropFirst(count)
            case .wouldBlockWrite, .wouldBlockRead:
                wait(forRoom: true)
                return false
            case .closed, .failed:
                end()
                return false
            }
        }
        return true
    }

    private func notify() -> Bool {
        switch transport.closeNotify() {
        case .finished: return true
        case .wouldBlockWrite, .wouldBlockRead: wait(forRoom: true)
        case .failed: end()
        }
        return false
    }

    private func wait(forRoom wanted: Bool) {
        guard step != .ended, wanted != awaitsRoom else { return }
        awaitsRoom = wanted
        do {
            try loop.modify(descriptor, EPOLLIN.rawValue | (wanted ? EPOLLOUT.rawValue : 0), self)
        } catch {
            end()
        }
    }

    // MARK: What still comes

    /// Once a turn; of what is left the kernel tells again.
    private func discard() {
        loop.flushBorrowers()
        let room = UnsafeMutableRawBufferPointer(
            start: loop.readBuffer.baseAddress, count: min(LingeringClose.readSize, loop.readBuffer.count))
        switch transport.discard(into: room) {
        case .bytes, .wouldBlockRead, .wouldBlockWrite: break
        case .closed: look(peerHasClosed: true)
        case .failed: end()
        }
    }

    private func look(peerHasClosed: Bool = false) {
        guard step != .ended else { return }
        let view = LingerSchedule.View(
            now: loop.now, unacknowledged: LingeringClose.count(rest, descriptor), peerHasClosed: peerHasClosed)
        switch schedule.next(view) {
        case .wait(let time): timer?.set(after: time)
        case .close: end()
        }
    }

    private static func count(_ rest: PendingBytes, _ descriptor: Int32) -> Int {
        rest.bytes.count + (Socket.unacknowledged(descriptor) ?? 0)
    }
}

/// What a connection leaves behind that has nothing more to say. Whoever takes it closes the socket.
struct LeavingTransport {
    /// On which TLS, if it has any, is established; nobody listens to it any more.
    let transport: Transport
    /// What the kernel has not taken.
    let rest: PendingBytes
    let limits: LingerSchedule.Limits
}
