import MoongateLua

/// The body of one direction of an exchange in memory, with its trailers: whole before any hook asks for it.
final class SpecBody {
    private let queue = UnsafeMutablePointer<ByteQueue>.allocate(capacity: 1)
    private let list = UnsafeMutablePointer<HeaderList>.allocate(capacity: 1)
    private let ended = UnsafeMutablePointer<Bool>.allocate(capacity: 1)
    private let blocks = BlockPool()

    init() {
        queue.initialize(to: ByteQueue())
        list.initialize(to: HeaderList())
        ended.initialize(to: true)
    }

    deinit {
        queue.pointee.clear(blocks)
        list.pointee.destroy()
        queue.deallocate()
        list.deallocate()
        ended.deallocate()
    }

    /// As policies take part in it.
    func flow(_ head: UnsafeMutablePointer<HeaderList>) -> PolicyFlow {
        PolicyFlow(queue: queue, head: head, trailers: list, ended: ended)
    }

    func fill(_ text: String) { fill(Array(text.utf8)) }

    func fill(_ body: [UInt8], trailers: [(String, String)] = []) {
        queue.pointee.clear(blocks)
        body.withBytes { queue.pointee.append($0, blocks) }
        list.pointee.reset()
        for (name, value) in trailers { list.pointee.add(name, value) }
        ended.pointee = true
    }

    /// What is there now, and stays.
    var text: String {
        let buffer = PolicyBuffer()
        buffer.take(queue, blocks)
        queue.pointee.append(buffer.bytes, blocks)
        return buffer.bytes.string
    }

    var trailers: LuaValue { list.pointee.asList }
}
