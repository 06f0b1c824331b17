extension ValueType<Configuration> {
    /// The whole file.
    static var configuration: ValueType {
        .mapping(
            MappingSchema(
                name: "configuration",
                summary: "The whole file.",
                initial: Configuration(),
                fields: [
                    Field(
                        "workers", \.workers, .integer(1...1024), absent: "one per core",
                        "Event loop threads. A change needs a restart."),
                    Field(
                        "listeners", \.listeners, .list(of: .listener, atLeast: 1), required: true,
                        "Where clients are accepted."),
                    Field(
                        "policies", \.policies, .policySettings, "Where policies are found and what they may use."),
                    Field(
                        "upstreams", \.upstreams, .upstreams,
                        "The servers behind, in named groups: a mapping from a name to an upstream."),
                    Field(
                        "routes", \.routes, .list(of: .route),
                        "Which requests go where. A request that no route takes is answered with `UNIMPLEMENTED`"
                            + " (gRPC) or 404."),
                    Field(
                        "secrets", \.secrets, .secrets,
                        "Secrets that policies may ask for: a mapping from a name to where the value comes from."),
                    Field(
                        "admin", \.admin, .admin, absent: "no admin listener",
                        "The listener for `/metrics`, `/live`, `/ready`, `/policies`, `/upstreams` and `/generations`."),
                    Field(
                        "access_log", \.accessLog, .accessLog, absent: "no access log",
                        "One line of JSON for each request."),
                    Field("dns", \.dns, .dns, "How host names are resolved."),
                    Field("limits", \.limits, .processLimits, "What the whole process may hold."),
                    Field("overload", \.overload, .overload, "When load is shed, and in which order."),
                    Field("drain", \.drain, .drain, "What happens on SIGTERM."),
                    Field("reload", \.reload, .reload, "What happens to streams whose policies were replaced."),
                    Field(
                        "process", \.process, .process, absent: "see [process](#process)",
                        "What the process may do itself."),
                    Field(
                        "watchdog", \.watchdog, .watchdog, absent: "see [watchdog](#watchdog)",
                        "What happens when a worker hangs."),
                ])
        ) { configuration, _, decoding in
            for route in configuration.routes { checkDisabled(route, configuration.listeners, &decoding) }
            return configuration
        }
    }

    /// A misspelled name would leave a policy running, or switch nothing off where it should.
    private static func checkDisabled(
        _ route: RouteConfig, _ listeners: [ListenerConfig], _ decoding: inout Decoding
    ) {
        let own = listeners.filter { route.listeners.isEmpty || route.listeners.contains($0.name) }
        let known = own.flatMap(\.policies)
        for policy in route.disabledPolicies where !known.contains(where: { $0.answers(to: policy.name) }) {
            let names = known.map(\.shownName)
            let list =
                names.isEmpty ? "the route's listeners have no policies" : "there is \(names.joined(separator: ", "))"
            decoding.report(
                policy.location, "no policy of the route's listeners is called \(quoted(policy.name))",
                hint: Spelling.suggestion(for: policy.name, among: names) ?? list)
        }
    }
}

extension ValueType<AdminConfig> {
    static var admin: ValueType {
        .mapping(
            MappingSchema(
                name: "admin",
                summary: "The admin listener. It speaks HTTP/1.1 without TLS and asks nobody who they are: keep it on a"
                    + " loopback address, or on a network of your own with `allow_remote`.",
                initial: AdminConfig(address: SocketAddressConfig(host: "127.0.0.1", port: 0)),
                fields: [
                    Field(
                        "address", \.address, .listening, required: true, "Address and port, such as `127.0.0.1:9901`."),
                    Field(
                        "allow_remote", \.allowRemote,
                        ValueType<Void>.alwaysTrue(insteadOfFalse: "remove the key").map { _, _, _ in true },
                        "`true`: the address may be another than a loopback one. Everybody who reaches it sees metrics,"
                            + " routes and what policies say."),
                    Field(
                        "hosts", \.hosts, .list(of: .host, identity: { $0 }),
                        "Names by which the listener is asked: `edge.internal`, `\"*.internal\"`. Requests whose `Host` is"
                            + " neither one of them, nor `localhost`, nor an IP address are answered with 421, so that a page"
                            + " in a browser cannot read the listener by a name of its own (DNS rebinding)."),
                ])
        ) { admin, mapping, decoding in
            if !admin.allowRemote && !admin.address.isLoopback {
                let host = admin.address.host.isEmpty ? "every address" : admin.address.host
                decoding.report(
                    mapping.location, "the admin listener would be open to other hosts: \(host) is not loopback",
                    hint: "listen on 127.0.0.1, or set allow_remote: true where the network keeps others out")
            }
            return admin
        }
    }
}

extension ValueType<AccessLogConfig> {
    static var accessLog: ValueType {
        .mapping(
            MappingSchema(
                name: "access log",
                summary: "The access log. SIGUSR1 and SIGHUP open its file anew.",
                initial: AccessLogConfig(destination: .standardOutput),
                fields: [
                    Field(
                        "path", \.destination, .logDestination, required: true,
                        "A file to append to, or `-` for standard output.")
                ]))
    }
}

extension ValueType<AccessLogConfig.Destination> {
    fileprivate static var logDestination: ValueType {
        .text(NameSyntax.file, expected: "a path or \"-\"") { text, decoding throws(SyntaxFault) in
            if text == "-" { return .standardOutput }
            return .file(try NameSyntax.absolutePath(text, folder: decoding.folder))
        }
    }
}

extension ValueType<DrainConfig> {
    static var drain: ValueType {
        .mapping(
            MappingSchema(
                name: "drain",
                summary: "The way out after SIGTERM. A second SIGTERM ends the process at once.",
                initial: DrainConfig(),
                fields: [
                    Field(
                        "delay", \.delay, .duration(.zero ... .seconds(3600)),
                        "How long `/ready` fails while connections are still accepted, so that balancers in front"
                            + " notice."),
                    Field(
                        "grace", \.grace, .duration(.zero ... .seconds(86400)),
                        "How long streams may go on after GOAWAY. Those left then end with `UNAVAILABLE`."),
                ]))
    }
}
