import MoongateConfig

/// Networks, each with or without exceptions.
final class NetworkList: SharedList {
    static let kind = SharedListKind.networks

    let set: CIDRSet
    let count: Int

    /// - Throws: everything that is wrong with the file.
    init(_ bytes: [UInt8], path: String) throws(DiagnosticList) {
        try SharedListFaults.checkPresence(bytes, path, of: "networks")
        var builder = NetworkBuilder()
        var faults = SharedListFaults()
        let root = try EntryFile.read(bytes, path: path) { entry in
            do throws(CIDRFault) {
                try builder.add(entry.value)
            } catch {
                faults.add(entry.location, error.message, hint: error.hint)
            }
        }
        guard root == .list || root == .nothing else {
            throw DiagnosticList([
                Diagnostic(
                    location: SourceLocation(file: path, line: 0, column: 0),
                    message: "the file must hold a list of networks", hint: "- 10.0.0.0/8")
            ])
        }
        try faults.check()
        set = builder.set
        count = builder.count
    }
}

/// Puts networks together: `10.0.0.0/8`, one address, or `{cidr: …, except: […]}`, as in a Kubernetes NetworkPolicy.
struct NetworkBuilder {
    private(set) var count = 0
    /// Networks as they stand there, and those of which something was taken.
    private var plain: [CIDR] = []
    private var rests: [CIDRSet] = []

    var set: CIDRSet { CIDRSet(plain, and: rests) }

    mutating func add(_ value: SettingValue) throws(CIDRFault) {
        switch value {
        case .string(let text): plain.append(try CIDR(text))
        case .table(let entries):
            if let key = entries.first(where: { $0.key != "cidr" && $0.key != "except" })?.key {
                throw CIDRFault("has the unknown key \(setting: key) (known: cidr, except)")
            }
            guard !SettingValue.isMissing(value["cidr"]) else { throw CIDRFault("has no cidr") }
            let inside = try NetworkBuilder.blocks(value["cidr"], "cidr")
            let outside = try NetworkBuilder.blocks(value["except"], "except")
            rests.append(CIDRSet(inside).subtracting(CIDRSet(outside)))
        default: throw CIDRFault("is no text, and no map with cidr and except")
        }
        count += 1
    }

    private static func blocks(_ value: SettingValue?, _ key: StaticString) throws(CIDRFault) -> [CIDR] {
        guard let value, value != .null else { return [] }
        if case .string(let text) = value { return [try CIDR(text)] }
        guard let elements = value.elements else { throw CIDRFault("has \(key) that is no network and no list") }
        return try elements.map { element throws(CIDRFault) in
            guard case .string(let text) = element else { throw CIDRFault("has something in \(key) that is no text") }
            return try CIDR(text)
        }
    }
}
