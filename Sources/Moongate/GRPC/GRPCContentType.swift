/// The `content-type` of gRPC messages: `application/grpc`, then nothing, `+subtype` or `;parameters`.
enum GRPCContentType {
    /// Not true for `application/grpc-web`, which is another protocol. The type's name compares without case.
    @inline(__always)
    static func isGRPC(_ value: Bytes) -> Bool {
        let plain = Bytes("application/grpc")
        guard value.count >= plain.count, value[0..<plain.count].equalsIgnoringCase(plain) else { return false }
        guard value.count > plain.count else { return true }
        return value[plain.count] == UInt8(ascii: "+") || value[plain.count] == UInt8(ascii: ";")
    }

    /// Also true for `application/grpc-web` and whatever else begins like gRPC's type.
    static func isRelated(_ value: Bytes) -> Bool {
        let plain = Bytes("application/grpc")
        return value.count >= plain.count && value[0..<plain.count].equalsIgnoringCase(plain)
    }

    /// The type to answer a request of type `value` with: its own without parameters, `application/grpc` if it
    /// is not gRPC's.
    static func answering(_ value: Bytes?) -> Bytes {
        guard let value, isGRPC(value) else { return Bytes("application/grpc") }
        var end = value.firstIndex(of: UInt8(ascii: ";")) ?? value.count
        while end > 0 && value[end - 1] == UInt8(ascii: " ") { end -= 1 }
        return value[0..<end]
    }
}
