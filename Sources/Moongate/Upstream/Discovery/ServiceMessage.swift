/// Reads the SRV records of a DNS message (RFC 1035 §4.1, RFC 2782): c-ares 1.18 reads them, too, but not how long they last.
///
/// The bytes come from the network: everything is checked against their end.
struct ServiceMessage {
    private static let service: UInt16 = 33
    private static let alias: UInt16 = 5
    private static let internet: UInt16 = 1
    /// RFC 1035 §2.3.4.
    private static let longestName = 253
    /// More than a message of 64 KiB can use in earnest.
    private static let mostRecords = 1024

    private let bytes: [UInt8]
    private var place = 0

    /// `nil` for a message that is malformed. A record whose target is `.` says that there is no such service.
    static func records(of message: [UInt8]) -> ServiceRecords? {
        var reader = ServiceMessage(bytes: message)
        return reader.read()
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func read() -> ServiceRecords? {
        place = 4
        guard let questions = number(), let answers = number() else { return nil }
        place = 12
        guard bytes.count >= place else { return nil }
        for _ in 0..<questions {
            guard name() != nil else { return nil }
            place += 4
        }
        var found = ServiceRecords(records: [], timeToLive: UInt32.max)
        for _ in 0..<answers {
            guard name() != nil, let type = number(), let kind = number(), let high = number(), let low = number(),
                let length = number()
            else { return nil }
            let end = place + Int(length)
            guard end <= bytes.count else { return nil }
            if kind == ServiceMessage.internet && (type == ServiceMessage.service || type == ServiceMessage.alias) {
                found.timeToLive = min(found.timeToLive, UInt32(high) << 16 | UInt32(low))
            }
            if kind == ServiceMessage.internet && type == ServiceMessage.service {
                guard let record = record(), place <= end else { return nil }
                if !record.target.isEmpty, found.records.count < ServiceMessage.mostRecords {
                    found.records.append(record)
                }
            }
            place = end
        }
        return found
    }

    private mutating func record() -> ServiceRecords.Record? {
        guard let priority = number(), let weight = number(), let port = number(), let target = name() else {
            return nil
        }
        return ServiceRecords.Record(priority: priority, weight: weight, port: port, target: target)
    }

    private mutating func number() -> UInt16? {
        guard place + 2 <= bytes.count else { return nil }
        defer { place += 2 }
        return UInt16(bytes[place]) << 8 | UInt16(bytes[place + 1])
    }

    /// A name, perhaps with its end elsewhere (RFC 1035 §4.1.4). Pointers lead backwards only, so that none leads in a circle.
    private mutating func name() -> String? {
        var labels: [UInt8] = []
        var at = place
        var lowest = place
        var hasJumped = false
        while true {
            guard at < bytes.count else { return nil }
            let length = Int(bytes[at])
            switch length & 0xc0 {
            case 0xc0:
                guard at + 1 < bytes.count else { return nil }
                let target = (length & 0x3f) << 8 | Int(bytes[at + 1])
                guard target < lowest else { return nil }
                if !hasJumped { place = at + 2 }
                hasJumped = true
                lowest = target
                at = target
            case 0:
                guard at + 1 + length <= bytes.count else { return nil }
                if length == 0 {
                    if !hasJumped { place = at + 1 }
                    return String(decoding: labels, as: UTF8.self)
                }
                if !labels.isEmpty { labels.append(UInt8(ascii: ".")) }
                for byte in bytes[at + 1..<at + 1 + length] {
                    guard (0x21...0x7e).contains(byte), byte != UInt8(ascii: ".") else { return nil }
                    labels.append(byte)
                }
                guard labels.count <= ServiceMessage.longestName else { return nil }
                at += 1 + length
            default: return nil
            }
        }
    }
}
