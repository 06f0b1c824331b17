import CMoongate
import MoongateLua

/// `moon.cidr(list)`: a set of networks, asked with `set:contains(address)`.
enum AddressSetBinding {
    final class AddressSet {
        let set: CIDRSet
        init(_ set: CIDRSet) { self.set = set }
    }

    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.addressSet, name: "address set",
            summary: "A set of networks, made by `moon.networks` and `moon.cidr`.", bindings: bindings, release: release
        )
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "contains", "s", type: "(address: string): boolean",
                doc: "Whether the address, written with or without port, is in one of the networks.", contains)
        ]
    }

    /// From one network or a list of them: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
    static let make: mg_leaf = { call in
        var texts: [String] = []
        switch call.value(0) {
        case .string(let text): texts = [text]
        case .list(let values):
            for value in values {
                guard case .string(let text) = value else { return call.fail("moon.cidr: a network must be a text") }
                texts.append(text)
            }
        case .table(let entries) where entries.isEmpty: break
        default: return call.fail("moon.cidr: a network or a list of networks is needed")
        }
        do throws(CIDRFault) {
            let set = AddressSet(try CIDRSet(parsing: texts))
            call.pointee.created = Unmanaged.passRetained(set).toOpaque()
            call.pointee.created_size = texts.count * 64
            return MG_RETURN
        } catch {
            let place = texts.firstIndex { (try? CIDR($0)) == nil } ?? 0
            return call.fail("moon.cidr: network \(place + 1) \(error.problem)")
        }
    }

    static let release: @convention(c) (UnsafeMutableRawPointer) -> Void = {
        Unmanaged<AddressSet>.fromOpaque($0).release()
    }

    /// Takes addresses with and without port, as the handle gives them.
    private static let contains: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        let set = Unmanaged<AddressSet>.fromOpaque(native).takeUnretainedValue().set
        let text = call.bytes(0)
        if let client = call.run?.client, client.text.equals(text) {
            call.give(set.contains(client.socket))
            return MG_RETURN
        }
        let string = text.string
        guard let address = SocketAddress(host: string, port: 0) ?? SocketAddress(string) else {
            return call.fail("contains: argument 1 is no IP address")
        }
        call.give(set.contains(address))
        return MG_RETURN
    }
}
