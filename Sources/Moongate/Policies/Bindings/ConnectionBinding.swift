import CMoongate
import MoongateLua

/// `handle:connection()`, which Envoy keeps for old scripts.
enum ConnectionBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.connection, name: "connection",
            summary: "The connection to the client, for old scripts: `streamInfo()` has all of it.",
            bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "ssl", "", type: "(): TLSConnection?",
                doc: """
                    The TLS of the client's connection; nil without TLS. Deprecated: use \
                    `streamInfo():downstreamSslConnection()`. The log says so once.
                    """, ssl)
        ]
    }

    private static let ssl: mg_leaf = { call in
        call.engine?.warnOfConnection(call.run)
        let isTLS = call.run?.connectionFacts?.tls != nil
        call.give(isTLS ? call.run?.lend(.tls) : nil)
        return MG_RETURN
    }
}

/// `handle:connectionStreamInfo()`.
enum ConnectionStreamInfoBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.connectionStreamInfo, name: "connection stream info",
            summary: "Metadata of the client's connection. Nothing in Moongate writes any.", bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "dynamicMetadata", "", type: "(): ConnectionMetadata", doc: "The connection's metadata, to be read."
            ) { call in
                call.give(call.run?.lend(.connectionMetadata))
                return MG_RETURN
            },
            LuaBinding(
                "dynamicTypedMetadata", "s", type: "(name: string): table?",
                doc: "Nil: nothing in Moongate writes typed metadata."
            ) { call in
                call.giveNil()
                return MG_RETURN
            },
        ]
    }
}

/// `connectionStreamInfo():dynamicMetadata()`: always empty, since no part of Moongate writes to it.
enum ConnectionMetadataBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.connectionMetadata, name: "connection metadata",
            summary: "Metadata of the client's connection; empty.", bindings: bindings, iterate: step)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "get", "s", type: "(namespace: string): table?", doc: "Nil: there is no metadata."
            ) { call in
                call.giveNil()
                return MG_RETURN
            }
        ]
    }

    /// Ends the loop: there is nothing to go through.
    private static let step: mg_leaf = { _ in MG_RETURN }
}
