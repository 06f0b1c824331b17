import CMoongate
import MoongateLua

/// `handle:streamInfo()`: the connection, the route, and dynamic metadata.
enum StreamInfoBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.streamInfo, name: "stream info",
            summary: "The connection, the route, and dynamic metadata.", bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "protocol", "", type: "(): string",
                doc: "The client's protocol: `HTTP/2`."
            ) { call in
                call.give(Bytes("HTTP/2"))
                return MG_RETURN
            },
            LuaBinding(
                "routeName", "", type: "(): string",
                doc: """
                    The name of the route, or of the one that the request would take now; empty if none takes it.
                    """, routeName),
            LuaBinding(
                "virtualClusterName", "", type: "(): string",
                doc: "Empty: Moongate has no virtual clusters."
            ) { call in
                call.give(Bytes.empty)
                return MG_RETURN
            },
            LuaBinding(
                "downstreamLocalAddress", "", type: "(): string",
                doc: "The address and port that the client connected to.", localAddress),
            LuaBinding(
                "downstreamDirectLocalAddress", "", type: "(): string",
                doc: "The same as the connection has it: another one where a proxy speaks for the client."
            ) { call in
                if let facts = call.run?.connectionFacts { call.give(copyOf: facts.directLocal.description) }
                return MG_RETURN
            },
            LuaBinding(
                "downstreamRemoteAddress", "", type: "(): string",
                doc: """
                    The client's address and port: the connection's, or the one that a trusted proxy in front names \
                    (`forwarded` of the listener; the port is 0 where it names none).
                    """, remoteAddress),
            LuaBinding(
                "downstreamDirectRemoteAddress", "", type: "(): string",
                doc: "The same as the connection has it: another one where a proxy speaks for the client.",
                directRemoteAddress),
            LuaBinding(
                "requestedServerName", "", type: "(): string",
                doc: "The name in the TLS handshake (SNI); empty without one."
            ) { call in
                call.give(copyOf: call.run?.connectionFacts?.tls?.serverName ?? "")
                return MG_RETURN
            },
            LuaBinding(
                "listenerName", "", type: "(): string",
                doc: "The listener's name."
            ) { call in
                if let facts = call.run?.connectionFacts { call.give(facts.listenerBytes) }
                return MG_RETURN
            },
            LuaBinding(
                "dynamicMetadata", "", type: "(): DynamicMetadata",
                doc: "Values for later hooks of the same request."
            ) { call in
                call.give(call.run?.lend(.dynamicMetadata))
                return MG_RETURN
            },
            LuaBinding(
                "downstreamSslConnection", "", type: "(): TLSConnection?",
                doc: "The TLS of the client's connection; nil without TLS."
            ) { call in
                let isTLS = call.run?.connectionFacts?.tls != nil
                call.give(isTLS ? call.run?.lend(.tls) : nil)
                return MG_RETURN
            },
            LuaBinding(
                "dynamicTypedMetadata", "s", type: "(name: string): table?",
                doc: "Nil: nothing in Moongate writes typed metadata."
            ) { call in
                call.giveNil()
                return MG_RETURN
            },
            LuaBinding(
                "filterState", "", type: "(): FilterState",
                doc: "Texts by name that live as long as the request."
            ) { call in
                call.give(call.run?.lend(.filterState))
                return MG_RETURN
            },
            LuaBinding(
                "drainConnectionUponCompletion", "", type: "()",
                doc: """
                    Tells the client with the response to open a new connection for its next requests (GOAWAY). \
                    Those that are under way go on.
                    """
            ) { call in
                call.run?.pointer.pointee.subject.drainsConnection = true
                return MG_RETURN
            },
        ]
    }

    private static let routeName: mg_leaf = { call in
        guard let run = call.run else { return MG_RETURN }
        let chosen = run.subject.routeName
        if chosen.isEmpty { call.give(copyOf: run.route?.name ?? "") } else { call.give(chosen) }
        return MG_RETURN
    }

    private static let localAddress: mg_leaf = { call in
        if let facts = call.run?.connectionFacts { call.give(copyOf: facts.localText) }
        return MG_RETURN
    }

    private static let remoteAddress: mg_leaf = { call in
        if let client = call.run?.client { call.give(client.text) }
        return MG_RETURN
    }

    private static let directRemoteAddress: mg_leaf = { call in
        if let facts = call.run?.connectionFacts { call.give(facts.directPeer.text) }
        return MG_RETURN
    }
}
