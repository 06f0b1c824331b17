/// Frames of a few octets.
extension OutputBuffer {
    /// Appends a frame whose payload is `word`.
    mutating func append(_ head: FrameHead, _ word: UInt32, _ pool: OutputPool) {
        let target = reserve(FrameHead.size + 4, pool)
        head.write(to: target)
        target.store(word, at: FrameHead.size)
        commit(FrameHead.size + 4)
    }

    /// Appends a frame whose payload is two words.
    mutating func append(_ head: FrameHead, _ first: UInt32, _ second: UInt32, _ pool: OutputPool) {
        let target = reserve(FrameHead.size + 8, pool)
        head.write(to: target)
        target.store(first, at: FrameHead.size)
        target.store(second, at: FrameHead.size + 4)
        commit(FrameHead.size + 8)
    }
}
