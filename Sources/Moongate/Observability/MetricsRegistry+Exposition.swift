/// What `/metrics` shows, in a fixed order: families as listed here, series by name.
extension MetricsRegistry {
    /// Reads every counter; takes no lock that a worker takes.
    func exposition() -> [UInt8] {
        var text = PrometheusText()
        writeRequests(to: &text)
        writeDurations(to: &text)
        writePolicies(to: &text)
        writePolicyFigures(to: &text)
        writePolicyMemory(to: &text)
        writeDicts(to: &text)
        writeUpstreams(to: &text)
        writeMirrors(to: &text)
        writeListeners(to: &text)
        writeAbuses(to: &text)
        writeCertificates(to: &text)
        writeLogs(to: &text)
        writeReloads(to: &text)
        writeNames(to: &text)
        writeOverload(to: &text)
        writeCopies(to: &text)
        writeProcess(to: &text)
        scripts.write(to: &text)
        return text.bytes
    }

    private func writeRequests(to text: inout PrometheusText) {
        let routes = self.routes.living()
        text.family(
            "moongate_requests_total", .counter,
            "Finished gRPC requests by the status that the client saw.")
        for route in routes {
            for status in 0...RouteCells.Column.otherGRPCStatus {
                let count = route.block.total(RouteCells.Column.grpcStatus + status)
                // Status 0 is always shown, so that each route has a series from the start.
                guard count > 0 || status == 0 else { continue }
                let label = status == RouteCells.Column.otherGRPCStatus ? "other" : String(status)
                text.sample([("route", route.name), ("grpc_status", label)], count)
            }
        }
        text.family(
            "moongate_http_requests_total", .counter,
            "Finished requests that are not gRPC, by class of the HTTP status; none: ended without one.")
        for route in routes {
            for digit in 0..<6 {
                let count = route.block.total(RouteCells.Column.httpClass + digit)
                guard count > 0 else { continue }
                text.sample([("route", route.name), ("http_status", digit == 0 ? "none" : "\(digit)xx")], count)
            }
        }
        text.family(
            "moongate_retries_total", .counter,
            "Attempts at an upstream that followed one that had failed, by the route's `retry` or `hedge`.")
        for route in routes { text.sample([("route", route.name)], route.block.total(RouteCells.Column.retries)) }
        text.family("moongate_request_bytes_total", .counter, "Body bytes received from clients.")
        for route in routes { text.sample([("route", route.name)], route.block.total(RouteCells.Column.bytesIn)) }
        text.family("moongate_response_bytes_total", .counter, "Body bytes sent to clients.")
        for route in routes { text.sample([("route", route.name)], route.block.total(RouteCells.Column.bytesOut)) }
    }

    private func writeDurations(to text: inout PrometheusText) {
        text.family(
            "moongate_request_duration_seconds", .histogram,
            "Time from a request's head to the end of its stream.")
        let first = RouteCells.Column.duration
        for route in routes.living() {
            let columns = first..<first + LatencyHistogram.sumColumn
            guard columns.contains(where: { route.block.total($0) > 0 }) else { continue }
            text.histogram([("route", route.name)], route.block, first: first)
        }
    }

    private func writePolicies(to text: inout PrometheusText) {
        let policies = self.policies.living()
        text.family("moongate_policy_runs_total", .counter, "Hooks begun.")
        for policy in policies {
            for hook in PolicyHook.allCases {
                text.sample(
                    [("policy", policy.name), ("hook", hook.label)],
                    policy.block.total(PolicyCells.Column.runs + hook.rawValue))
            }
        }
        text.family("moongate_policy_replies_total", .counter, "Hooks that answered the request themselves.")
        for policy in policies {
            for hook in PolicyHook.allCases {
                text.sample(
                    [("policy", policy.name), ("hook", hook.label)],
                    policy.block.total(PolicyCells.Column.replies + hook.rawValue))
            }
        }
        text.family("moongate_policy_errors_total", .counter, "Hooks that failed.")
        for policy in policies {
            for hook in PolicyHook.allCases {
                for reason in PolicyErrorReason.allCases {
                    let count = policy.block.total(PolicyCells.Column.error(hook, reason))
                    guard count > 0 || reason == .script else { continue }
                    text.sample(
                        [("policy", policy.name), ("hook", hook.label), ("reason", reason.label)], count)
                }
            }
        }
    }

    private func writePolicyFigures(to text: inout PrometheusText) {
        typealias Column = PolicyCells.Column
        let policies = self.policies.living()
        text.family(
            "moongate_policy_hook_duration_seconds", .histogram,
            "How long hooks ran until their end or next wait, measured in one run of 16.")
        for policy in policies {
            for hook in PolicyHook.allCases where policy.block.total(Column.runs + hook.rawValue) > 0 {
                text.histogram(
                    [("policy", policy.name), ("hook", hook.label)], policy.block, bounds: PolicyCells.timeBounds,
                    first: Column.time(hook))
            }
        }
        text.family(
            "moongate_policy_memory_peak_bytes", .gauge,
            "The most memory that a worker's script engine was seen to hold after a hook of the policy.")
        for policy in policies {
            let rows = (0..<policy.block.rows).map { policy.block.row($0)[Column.peakMemory].value }
            text.sample([("policy", policy.name)], rows.max() ?? 0)
        }
        text.family("moongate_policy_loaded_timestamp_seconds", .gauge, "When the policy was loaded last.")
        for policy in policies { text.sample([("policy", policy.name)], policy.block.total(Column.loadedAt)) }
        text.family("moongate_policy_reload_failures_total", .counter, "Reloads refused because of the policy.")
        for policy in policies { text.sample([("policy", policy.name)], policy.block.total(Column.reloadFailures)) }
    }

    private func writePolicyMemory(to text: inout PrometheusText) {
        text.family(
            "moongate_policy_memory_exceeded_total", .counter,
            "Times that a policy wanted more memory than it may hold, and failed until its worker had a new script engine."
        )
        for policy in policies.living() {
            text.sample([("policy", policy.name)], policy.block.total(PolicyCells.Column.memoryExceeded))
        }
        text.family(
            "moongate_policy_overrun_refusals_total", .counter,
            "Requests that a policy refused because their client has had it exceed its time limit too often.")
        for policy in policies.living() {
            text.sample([("policy", policy.name)], policy.block.total(PolicyCells.Column.overrunRefusals))
        }
        text.family(
            "moongate_policy_widespread_overruns_total", .counter,
            "Minutes in which a policy exceeded its time limit for ten client addresses, or in a timer.")
        for policy in policies.living() {
            text.sample([("policy", policy.name)], policy.block.total(PolicyCells.Column.widespreadOverruns))
        }
        text.family(
            "moongate_policy_engine_replacements_total", .counter,
            "Script engines that were replaced because a policy wanted too much memory.")
        for index in 0..<workers {
            text.sample([("worker", String(index))], worker(index).engineReplacements.value)
        }
        text.family(
            "moongate_policy_old_engines", .gauge, "Script engines that were replaced and that streams still use.")
        for index in 0..<workers { text.gauge([("worker", String(index))], worker(index).oldGenerations.value) }
        text.family(
            "moongate_policy_retired_streams_total", .counter,
            "Streams that were ended because their policies were replaced too long or too often ago.")
        for index in 0..<workers { text.sample([("worker", String(index))], worker(index).retiredStreams.value) }
    }

    private func writeDicts(to text: inout PrometheusText) {
        let dicts = state.dicts.living().map { (name: $0.name, figures: $0.figures) }
        text.family("moongate_dict_entries", .gauge, "Entries of a shared dict, those included that expired unnoticed.")
        for dict in dicts { text.sample([("dict", dict.name)], UInt64(dict.figures.entries)) }
        text.family("moongate_dict_bytes", .gauge, "Bytes that the entries of a shared dict weigh.")
        for dict in dicts { text.sample([("dict", dict.name)], UInt64(dict.figures.weight)) }
        text.family(
            "moongate_dict_evictions_total", .counter,
            "Entries of a shared dict that made room for others before they expired.")
        for dict in dicts { text.sample([("dict", dict.name)], dict.figures.evictions) }
        text.family(
            "moongate_dict_contended_total", .counter, "Times that a worker found a part of a shared dict locked.")
        for dict in dicts { text.sample([("dict", dict.name)], dict.figures.contended) }
        writeLimits(to: &text)
    }

    private func writeLimits(to text: inout PrometheusText) {
        let tables = (state.limits.living() + state.dicts.living().compactMap(\.rates))
            .map { (name: $0.name, figures: $0.figures) }
        text.family("moongate_limit_keys", .gauge, "Keys that the limits of a policy file or dict count apart.")
        for table in tables { text.sample([("table", table.name)], UInt64(max(0, table.figures.keys))) }
        text.family(
            "moongate_limit_shared_total", .counter,
            "Requests of limits whose keys shared a bucket, the table being full.")
        for table in tables { text.sample([("table", table.name)], table.figures.shared) }
    }

    private func writeUpstreams(to text: inout PrometheusText) {
        typealias Column = UpstreamCells.Column
        let upstreams = self.upstreams.living()
        text.family("moongate_upstream_connections", .gauge, "Connections to endpoints, open or being opened.")
        for upstream in upstreams {
            text.gauge([("upstream", upstream.name)], upstream.block.total(Column.openConnections))
        }
        text.family("moongate_upstream_streams", .gauge, "Requests in flight.")
        for upstream in upstreams {
            text.gauge([("upstream", upstream.name)], upstream.block.total(Column.openStreams))
        }
        text.family("moongate_upstream_requests_total", .counter, "Requests sent, retries included.")
        for upstream in upstreams {
            text.sample([("upstream", upstream.name)], upstream.block.total(Column.requests))
        }
        text.family("moongate_upstream_connects_total", .counter, "Attempts to connect, by how they ended.")
        for upstream in upstreams {
            text.sample(
                [("upstream", upstream.name), ("result", "success")], upstream.block.total(Column.connects))
            text.sample(
                [("upstream", upstream.name), ("result", "failure")], upstream.block.total(Column.connectFailures))
        }
        writeHealth(to: &text)
        writeHeadLimits(to: &text)
        text.family(
            "moongate_upstream_overflows_total", .counter,
            "Times that something was refused because a limit of the upstream was reached, by the limit.")
        for upstream in upstreams {
            for limit in UpstreamLimit.allCases {
                text.sample(
                    [("upstream", upstream.name), ("limit", limit.setting)],
                    upstream.block.total(Column.overflows + limit.rawValue))
            }
        }
    }

    private func writeHealth(to text: inout PrometheusText) {
        let upstreams = sharedUpstreams.living()
        text.family(
            "moongate_upstream_endpoints", .gauge,
            "Endpoints by their state; one that cannot be reached from some worker is unreachable.")
        for upstream in upstreams {
            let states = upstream.members.map(\.state)
            for state in EndpointState.allCases {
                let count = states.count { $0 == state }
                text.sample([("upstream", upstream.name), ("state", state.rawValue)], UInt64(count))
            }
        }
        text.family("moongate_upstream_health_checks_total", .counter, "Health checks that have ended.")
        for upstream in upstreams {
            let checks = upstream.checks
            text.sample([("upstream", upstream.name), ("result", "passed")], checks.passed)
            text.sample([("upstream", upstream.name), ("result", "failed")], checks.failed)
        }
        text.family(
            "moongate_upstream_ejections_total", .counter,
            "Endpoints ejected because requests to them failed; refused where too many are ejected already.")
        for upstream in upstreams {
            let ejections = upstream.ejections
            text.sample([("upstream", upstream.name), ("result", "ejected")], ejections.enforced)
            text.sample([("upstream", upstream.name), ("result", "refused")], ejections.refused)
        }
    }

    private func writeListeners(to text: inout PrometheusText) {
        typealias Column = ListenerCells.Column
        let listeners = self.listeners.living()
        text.family("moongate_downstream_connections", .gauge, "Open client connections.")
        for listener in listeners {
            for worker in 0..<workers {
                text.gauge(
                    [("listener", listener.name), ("worker", String(worker))],
                    listener.block.row(worker)[Column.openConnections].value)
            }
        }
        text.family("moongate_downstream_streams", .gauge, "Client requests in flight.")
        for listener in listeners {
            text.gauge([("listener", listener.name)], listener.block.total(Column.openStreams))
        }
        let counters: [(String, Int, String)] = [
            ("moongate_downstream_accepted_total", Column.accepted, "Client connections accepted."),
            (
                "moongate_downstream_handshake_failures_total", Column.handshakeFailures,
                "Client connections that ended before TLS and HTTP/2 were agreed."
            ),
            (
                "moongate_downstream_proxy_protocol_failures_total", Column.proxyProtocolFailures,
                "Client connections refused because of their PROXY header."
            ),
            (
                "moongate_downstream_underscore_fields_total", Column.underscores,
                "Request headers that were removed, or refused with their request, for an underscore in their names."
            ),
            ("moongate_downstream_received_bytes_total", Column.bytesIn, "HTTP/2 bytes read from clients."),
            ("moongate_downstream_sent_bytes_total", Column.bytesOut, "HTTP/2 bytes written to clients."),
            (
                "moongate_downstream_accept_pauses_total", Column.acceptPauses,
                "Pauses in accepting because of the rate of new connections."
            ),
        ]
        for (name, column, help) in counters {
            text.family(name, .counter, help)
            for listener in listeners { text.sample([("listener", listener.name)], listener.block.total(column)) }
        }
        text.family(
            "moongate_downstream_refused_total", .counter, "Client connections closed at once because of a limit.")
        for listener in listeners {
            for limit in ConnectionLimit.allCases {
                text.sample(
                    [("listener", listener.name), ("limit", limit.description)],
                    listener.block.total(Column.refused + limit.rawValue))
            }
        }
        text.family(
            "moongate_downstream_expired_total", .counter,
            "Client connections drained or closed because of `connection` of the listener.")
        for listener in listeners {
            for reason in ConnectionSchedule.Reason.allCases {
                text.sample(
                    [("listener", listener.name), ("reason", "\(reason.label)")],
                    listener.block.total(Column.expired + reason.rawValue))
            }
        }
    }

    private func writeAbuses(to text: inout PrometheusText) {
        text.family(
            "moongate_downstream_abuse_total", .counter,
            "Client connections, or single streams of theirs, that were ended for what the client did.")
        for listener in listeners.living() {
            for kind in Abuse.allCases {
                text.sample(
                    [("listener", listener.name), ("kind", "\(kind.label)")],
                    listener.block.total(ListenerCells.Column.abuses + kind.rawValue))
            }
        }
        text.family(
            "moongate_upstream_abuse_total", .counter, "Connections to servers that were ended for what the server did."
        )
        for upstream in upstreams.living() {
            for kind in Abuse.allCases {
                let count = upstream.block.total(UpstreamCells.Column.abuses + kind.rawValue)
                guard count > 0 || kind == .ping else { continue }
                text.sample([("upstream", upstream.name), ("kind", "\(kind.label)")], count)
            }
        }
    }

    private func writeCertificates(to text: inout PrometheusText) {
        text.family(
            "moongate_certificate_not_after_timestamp_seconds", .gauge,
            "When the first certificate or revocation list of a file ends to be good.")
        for certificate in certificates.withLock({ $0 }) {
            text.sample(
                [
                    (certificate.owner.side, certificate.owner.name), ("kind", certificate.kind.rawValue),
                    ("file", certificate.file),
                ], UInt64(max(0, certificate.notAfter)))
        }
    }

    private func writeLogs(to text: inout PrometheusText) {
        let values = process.values
        text.family(
            "moongate_access_log_dropped_total", .counter,
            "Access log lines lost: the queue was full, or the destination refused them.")
        let full = (0..<workers).reduce(0) { $0 &+ worker($1).accessLogDrops.value }
        text.sample([("reason", "queue_full")], full)
        text.sample([("reason", "write_error")], values.accessLogFailures)
        text.family("moongate_log_dropped_total", .counter, "Operational log lines lost in the same ways.")
        text.sample(values.operationalLogDrops)
        writeWorkers(to: &text)
    }

    private func writeOverload(to text: inout PrometheusText) {
        text.family("moongate_overload_active", .gauge, "1 while memory is so short that this is done.")
        for level in OverloadLevel.allCases where level > .normal {
            text.sample([("action", level.label)], overload.level >= level ? 1 as UInt64 : 0)
        }
        text.family("moongate_overload_memory_bytes", .gauge, "Resident memory as it was seen last; 0 without a limit.")
        text.sample(overload.memoryUsed)
        text.family("moongate_overload_memory_limit_bytes", .gauge, "The memory that the process may use; 0: any.")
        text.sample(overload.memoryLimit)
        text.family(
            "moongate_overload_refused_streams_total", .counter, "Requests not served because memory was short.")
        text.sample(overload.refusedStreams)
        text.family("moongate_overload_reset_streams_total", .counter, "Streams ended because memory was short.")
        text.sample(overload.resetStreams)
    }

    private func writeNames(to text: inout PrometheusText) {
        let values = process.values
        text.family("moongate_dns_questions_total", .counter, "Questions about names of endpoints, by how they ended.")
        text.sample([("result", "success")], values.namesResolved)
        text.sample([("result", "failure")], values.nameFailures)
    }

    private func writeProcess(to text: inout PrometheusText) {
        let status = ProcessStatus.read()
        text.family("moongate_workers", .gauge, "Event loop threads.")
        text.sample(UInt64(workers))
        text.family("process_cpu_seconds_total", .counter, "User and system CPU time.")
        text.sample(status.cpuSeconds)
        text.family("process_resident_memory_bytes", .gauge, "Resident memory.")
        text.sample(status.residentBytes)
        text.family("process_virtual_memory_bytes", .gauge, "Virtual memory.")
        text.sample(status.virtualBytes)
        text.family("process_threads", .gauge, "Threads.")
        text.sample(status.threads)
        text.family("process_open_fds", .gauge, "Open file descriptors.")
        text.sample(status.openFiles)
        text.family("process_max_fds", .gauge, "Most file descriptors that may be open.")
        text.sample(status.maxOpenFiles)
        text.family("process_start_time_seconds", .gauge, "Start of the process since the epoch.")
        text.sample(process.startTime)
    }
}
