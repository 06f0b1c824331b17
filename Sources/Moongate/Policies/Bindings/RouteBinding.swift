import CMoongate
import MoongateLua

/// `handle:route()`: the route of the request.
enum RouteBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.route, name: "route",
            summary: """
                The route of the request; before one is chosen, the one that the request would take as it is now.
                """, bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "metadata", "", type: "(): Metadata",
                doc: "The route's `metadata` for this policy, as `handle:metadata()` gives it."
            ) { call in
                call.give(call.run?.lend(.routeMetadata))
                return MG_RETURN
            },
            LuaBinding(
                "name", "", type: "(): string?", doc: "The route's name; nil if no route takes the request."
            ) { call in
                guard let name = call.run?.route?.name else {
                    call.giveNil()
                    return MG_RETURN
                }
                call.give(copyOf: name)
                return MG_RETURN
            },
        ]
    }
}

/// `handle:virtualHost()`: what Envoy's virtual hosts are here, the listener.
enum VirtualHostBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.virtualHost, name: "virtual host",
            summary: "The listener, which stands where Envoy has a virtual host.", bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "metadata", "", type: "(): Metadata", doc: "The listener's `metadata` for this policy."
            ) { call in
                call.give(call.run?.lend(.listenerMetadata))
                return MG_RETURN
            },
            LuaBinding("name", "", type: "(): string?", doc: "The listener's name.") { call in
                if let facts = call.run?.connectionFacts { call.give(facts.listenerBytes) } else { call.giveNil() }
                return MG_RETURN
            },
        ]
    }
}
