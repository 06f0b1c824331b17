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
            LuaBinding("protocol", "") { call in
                call.give(Bytes("HTTP/2"))
                return MG_RETURN
            },
            LuaBinding("routeName", "") { call in
                call.give(call.run?.pointer.pointee.subject.routeName ?? .empty)
                return MG_RETURN
            },
            LuaBinding("downstreamLocalAddress", "", localAddress),
            LuaBinding("downstreamDirectLocalAddress", "", localAddress),
            LuaBinding("downstreamRemoteAddress", "", remoteAddress),
            LuaBinding("downstreamDirectRemoteAddress", "", remoteAddress),
            LuaBinding("requestedServerName", "") { call in
                call.give(copyOf: call.run?.connectionFacts?.tls?.serverName ?? "")
                return MG_RETURN
            },
            LuaBinding("listenerName", "") { call in
                if let facts = call.run?.connectionFacts { call.give(facts.listenerBytes) }
                return MG_RETURN
            },
            LuaBinding("dynamicMetadata", "") { call in
                call.give(call.run?.pointer.pointee.objects.dynamicMetadata)
                return MG_RETURN
            },
            LuaBinding("downstreamSslConnection", "") { call in
                let isTLS = call.run?.connectionFacts?.tls != nil
                call.give(isTLS ? call.run?.pointer.pointee.objects.tls : nil)
                return MG_RETURN
            },
        ]
    }

    private static let localAddress: mg_leaf = { call in
        if let facts = call.run?.connectionFacts { call.give(copyOf: facts.localText) }
        return MG_RETURN
    }

    private static let remoteAddress: mg_leaf = { call in
        if let facts = call.run?.connectionFacts { call.give(facts.remoteBytes) }
        return MG_RETURN
    }
}

/// The client's TLS connection; scripts only get one where there is TLS.
enum TLSBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.tls, name: "TLS connection",
            summary: "The TLS of the connection to the client.", bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding("tlsVersion", "") { call in
                call.give(copyOf: call.run?.connectionFacts?.tls?.version ?? "")
                return MG_RETURN
            },
            LuaBinding("ciphersuiteString", "") { call in
                call.give(copyOf: call.run?.connectionFacts?.tls?.cipher ?? "")
                return MG_RETURN
            },
            // Clients are not asked for certificates.
            LuaBinding("peerCertificatePresented", "") { call in
                call.give(false)
                return MG_RETURN
            },
            LuaBinding("peerCertificateValidated", "") { call in
                call.give(false)
                return MG_RETURN
            },
        ]
    }
}
