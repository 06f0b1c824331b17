@testable import Moongate

/// What a peer does, as bytes say it: frames that are right, nearly right and wrong, so that a changed byte mostly gives
/// another conversation and not a connection that ends at once.
///
/// A step begins with one byte: its low four bits choose what is done, the next one whether the edge gets its turn
/// afterwards.
enum FuzzStep {
    /// Bytes for the edge.
    case send([UInt8])
    /// The peer says no more.
    case finishWriting
    case close
    /// Nothing but the edge's turn.
    case wait

    /// - Parameter heads: header blocks that make sense where this peer is.
    static func next(_ input: inout FuzzInput, heads: [[UInt8]]) -> (step: FuzzStep, isTurn: Bool) {
        let choice = input.byte()
        return (step(choice & 15, choice, &input, heads), choice & 16 != 0)
    }

    private static func step(_ kind: UInt8, _ choice: UInt8, _ input: inout FuzzInput, _ heads: [[UInt8]]) -> FuzzStep {
        switch kind {
        case 0...9:
            let flags = input.byte()
            return .send(FuzzFrame.bytes(kind, flags, stream: stream(&input), input.text()))
        case 10:
            // A head that makes sense.
            let head = heads[Int(input.byte()) % heads.count]
            let flags = input.byte() & 1 | FrameFlag.endHeaders
            return .send(FuzzFrame.bytes(FrameType.headers, flags, stream: stream(&input), head))
        case 11:
            // A longer body than a text can have, with messages of gRPC in it.
            let size = Int(input.byte()) * 64
            let message = [0, 0, 0, UInt8(size >> 8), UInt8(size & 255)] + [UInt8](repeating: choice, count: size)
            return .send(FuzzFrame.bytes(FrameType.data, input.byte(), stream: stream(&input), message))
        case 12:
            // A length that is not that of the payload.
            let type = input.byte()
            let flags = input.byte()
            let length = Int(input.byte()) << 8 | Int(input.byte())
            let id = stream(&input)
            return .send(FuzzFrame.bytes(type, flags, stream: id, input.text(), length: length))
        case 13: return .send(input.text())
        case 14: return .wait
        default:
            switch choice >> 5 {
            case 0: return .close
            case 1: return .finishWriting
            // The same frame many times over.
            default:
                let type = input.byte() % 11
                let flags = input.byte()
                let id = stream(&input)
                let frame = FuzzFrame.bytes(type, flags, stream: id, input.text())
                return .send((0..<Int(choice >> 5) * 8).flatMap { _ in frame })
            }
        }
    }

    /// Small numbers mostly.
    private static func stream(_ input: inout FuzzInput) -> Int32 {
        let byte = input.byte()
        return byte == 255 ? Int32.max : byte == 254 ? Int32.min + 1 : Int32(byte)
    }
}
