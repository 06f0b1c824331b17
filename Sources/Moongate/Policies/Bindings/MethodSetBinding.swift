import CMoongate
import MoongateLua

/// `moon.methods(list)`: a set of gRPC methods, asked with `set:contains(path)`.
enum MethodSetBinding {
    private final class Methods {
        let set: MethodSet
        init(_ set: MethodSet) { self.set = set }
    }

    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.methodSet, name: "method set",
            summary: "A set of gRPC methods, made by `moon.methods`.",
            bindings: [
                LuaBinding(
                    "contains", "s", type: "(path: string): boolean",
                    doc:
                        "Whether a `:path` such as `/shop.Cart/GetItem` is in the set; a query, a slash at the end and parameters (`;`) take no part.",
                    contains)
            ], release: release)
    }

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "methods", "=v", type: "(patterns: string|string[]): MethodSet",
                doc: """
                    A set of gRPC methods by patterns such as `shop.Cart/Get*`, in which a star stands for anything but a \
                    slash; `*` alone is every method. Patterns become canonical as [paths](routing.md#paths) do, and one that no \
                    request fits raises an error.
                    """, constructs: PolicyClasses.methodSet, make)
        ]
    }

    private static let make: mg_leaf = { call in
        let value = TapeView(argument: 0, of: call)
        let elements = value.elements ?? [value]
        let texts = elements.compactMap { $0.bytes?.string }
        guard texts.count == elements.count else { return call.fail("moon.methods: patterns must be texts") }
        do throws(MethodFault) {
            let methods = Methods(try MethodSet(texts))
            call.pointee.created = Unmanaged.passRetained(methods).toOpaque()
            call.pointee.created_size = texts.reduce(0) { $0 + $1.utf8.count + 96 }
            return MG_RETURN
        } catch {
            let number = (texts.firstIndex(of: error.pattern) ?? 0) + 1
            return call.fail("moon.methods: pattern \(number) \(error.problem)")
        }
    }

    private static let release: @convention(c) (UnsafeMutableRawPointer) -> Void = {
        Unmanaged<Methods>.fromOpaque($0).release()
    }

    private static let contains: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        call.give(Unmanaged<Methods>.fromOpaque(native).takeUnretainedValue().set.contains(call.bytes(0)))
        return MG_RETURN
    }
}
