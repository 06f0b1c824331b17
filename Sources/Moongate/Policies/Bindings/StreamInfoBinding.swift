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
                doc: "The route's name; empty before one is chosen."
            ) { call in
                call.give(call.run?.pointer.pointee.subject.routeName ?? .empty)
                return MG_RETURN
            },
            LuaBinding(
                "downstreamLocalAddress", "", type: "(): string",
                doc: "The address and port that the client connected to.", localAddress),
            LuaBinding(
                "downstreamDirectLocalAddress", "", type: "(): string",
                doc: "The address and port that the client connected to.", localAddress),
            LuaBinding(
                "downstreamRemoteAddress", "", type: "(): string",
                doc: "The client's address and port.", remoteAddress),
            LuaBinding(
                "downstreamDirectRemoteAddress", "", type: "(): string",
                doc: "The client's address and port, as the connection has it.", remoteAddress),
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
                call.give(call.run?.pointer.pointee.objects.dynamicMetadata)
                return MG_RETURN
            },
            LuaBinding(
                "downstreamSslConnection", "", type: "(): TLSConnection?",
                doc: "The TLS of the client's connection; nil without TLS."
            ) { call in
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
            LuaBinding(
                "tlsVersion", "", type: "(): string",
                doc: "`TLSv1.2` or `TLSv1.3`."
            ) { call in
                call.give(copyOf: call.run?.connectionFacts?.tls?.version ?? "")
                return MG_RETURN
            },
            LuaBinding(
                "ciphersuiteString", "", type: "(): string",
                doc: "The cipher suite, by OpenSSL's name."
            ) { call in
                call.give(copyOf: call.run?.connectionFacts?.tls?.cipher ?? "")
                return MG_RETURN
            },
            // Clients are not asked for certificates.
            LuaBinding(
                "peerCertificatePresented", "", type: "(): boolean",
                doc: "Whether the client sent a certificate. None is asked for, so this is false."
            ) { call in
                call.give(false)
                return MG_RETURN
            },
            LuaBinding(
                "peerCertificateValidated", "", type: "(): boolean",
                doc: "Whether the client's certificate is good. None is asked for, so this is false."
            ) { call in
                call.give(false)
                return MG_RETURN
            },
        ]
    }
}
