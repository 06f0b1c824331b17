/// The messages of `grpc.health.v1` (health/v1/health.proto).
enum GRPCHealth {
    static let checkPath: StaticString = "/grpc.health.v1.Health/Check"

    /// What a server says of a service.
    enum Serving: Int {
        case unknown, serving, notServing, serviceUnknown

        var name: String {
            switch self {
            case .unknown: "UNKNOWN"
            case .serving: "SERVING"
            case .notServing: "NOT_SERVING"
            case .serviceUnknown: "SERVICE_UNKNOWN"
            }
        }
    }

    /// A `HealthCheckRequest` behind its gRPC prefix: field 1 is the service.
    static func request(service: String) -> [UInt8] {
        let name = Array(service.utf8)
        let message = name.isEmpty ? [] : [0x0a] + varint(UInt64(name.count)) + name
        let length = UInt32(clamping: message.count)
        return [0] + withUnsafeBytes(of: length.bigEndian) { Array($0) } + message
    }

    /// A `HealthCheckResponse` behind its prefix: field 1 is the status.
    static func answer(_ serving: Serving) -> [UInt8] { [0, 0, 0, 0, 2, 0x08, UInt8(serving.rawValue)] }

    /// The status in a `HealthCheckResponse` behind its prefix; `nil` for anything else.
    static func serving(in body: [UInt8]) -> Serving? {
        guard body.count >= 5, body[0] == 0 else { return nil }
        guard body[1..<5].reduce(0, { $0 << 8 | Int($1) }) == body.count - 5 else { return nil }
        return status(of: body[5...])
    }

    private static func status(of message: ArraySlice<UInt8>) -> Serving? {
        var rest = message
        var status: UInt64 = 0
        while !rest.isEmpty {
            guard let key = readVarint(&rest) else { return nil }
            switch key & 7 {
            case 0:
                guard let value = readVarint(&rest) else { return nil }
                if key >> 3 == 1 { status = value }
            case 1:
                guard rest.count >= 8 else { return nil }
                rest = rest.dropFirst(8)
            case 2:
                guard let count = readVarint(&rest), count <= UInt64(rest.count) else { return nil }
                rest = rest.dropFirst(Int(count))
            case 5:
                guard rest.count >= 4 else { return nil }
                rest = rest.dropFirst(4)
            default: return nil
            }
        }
        // Values that came after this file count as unknown.
        return Serving(rawValue: Int(clamping: status)) ?? .unknown
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        return bytes + [UInt8(truncatingIfNeeded: value)]
    }

    private static func readVarint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard let byte = bytes.popFirst() else { return nil }
            if shift < 64 { value |= UInt64(byte & 0x7f) << shift }
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
}
