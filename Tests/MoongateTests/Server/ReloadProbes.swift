/// How it is seen for each key that a reload puts it in force.
enum ReloadProbes {
    /// What stands beside the other keys of a listener or of a route, without and with the change.
    struct Change {
        let before: String
        let after: String

        init(_ before: String, _ after: String) {
            self.before = before
            self.after = after
        }
    }

    static let listeners: [String: Change] = [
        "listeners.connection": Change(
            "",
            "connection: {handshake_timeout: 3s}"),
        "listeners.connection.handshake_timeout": Change(
            "connection: {}",
            "connection: {handshake_timeout: 77s}"),
        "listeners.connection.keepalive": Change(
            "connection: {}",
            "connection: {keepalive: {interval: 77s}}"),
        "listeners.connection.keepalive.interval": Change(
            "connection: {keepalive: {interval: 76s}}",
            "connection: {keepalive: {interval: 77s}}"),
        "listeners.connection.keepalive.timeout": Change(
            "connection: {keepalive: {interval: 76s}}",
            "connection: {keepalive: {interval: 76s, timeout: 9s}}"),
        "listeners.connection.max_age": Change(
            "connection: {}",
            "connection: {max_age: 77s}"),
        "listeners.connection.max_age_grace": Change(
            "connection: {max_age: 1h}",
            "connection: {max_age: 1h, max_age_grace: 77s}"),
        "listeners.connection.max_idle": Change(
            "connection: {}",
            "connection: {max_idle: 77s}"),
        "listeners.connection.request_body_timeout": Change(
            "connection: {}",
            "connection: {request_body_timeout: 77s}"),
        "listeners.connection.request_headers_timeout": Change(
            "connection: {}",
            "connection: {request_headers_timeout: 77s}"),
        "listeners.connection.send_timeout": Change(
            "connection: {}",
            "connection: {send_timeout: 77s}"),
        "listeners.forward_client_certificate": Change(
            "",
            "forward_client_certificate: {mode: forward_only}"),
        "listeners.forward_client_certificate.mode": Change(
            "forward_client_certificate: {mode: forward_only}",
            "forward_client_certificate: {mode: sanitize}"),
        "listeners.forwarded": Change(
            "",
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 2}"),
        "listeners.forwarded.forwarded": Change(
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1}",
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1, forwarded: pass}"),
        "listeners.forwarded.trusted_hops": Change(
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1}",
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 2}"),
        "listeners.forwarded.x_forwarded_for": Change(
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1}",
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1, x_forwarded_for: pass}"),
        "listeners.forwarded.x_forwarded_host": Change(
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1}",
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1, x_forwarded_host: pass}"),
        "listeners.forwarded.x_forwarded_proto": Change(
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1}",
            "forwarded: {trusted: [10.0.0.0/8], trusted_hops: 1, x_forwarded_proto: pass}"),
        "listeners.headers_with_underscores": Change(
            "",
            "headers_with_underscores: refuse"),
        "listeners.limits": Change(
            "",
            "limits: {connections: 77}"),
        "listeners.limits.connection_rate": Change(
            "limits: {}",
            "limits: {connection_rate: 77}"),
        "listeners.limits.connections": Change(
            "limits: {}",
            "limits: {connections: 77}"),
        "listeners.limits.connections_per_address": Change(
            "limits: {}",
            "limits: {connections_per_address: 77}"),
        "listeners.limits.control_frames": Change(
            "limits: {}",
            "limits: {control_frames: 77}"),
        "listeners.limits.pending_handshakes": Change(
            "limits: {}",
            "limits: {pending_handshakes: 77}"),
        "listeners.limits.request_buffer": Change(
            "limits: {}",
            "limits: {request_buffer: 128KiB}"),
        "listeners.limits.resets": Change(
            "limits: {}",
            "limits: {resets: 77}"),
        "listeners.limits.response_buffer": Change(
            "limits: {}",
            "limits: {response_buffer: 128KiB}"),
        "listeners.max_concurrent_streams": Change(
            "",
            "max_concurrent_streams: 7"),
        "listeners.max_header_bytes": Change(
            "",
            "max_header_bytes: 2048"),
        "listeners.max_header_fields": Change(
            "",
            "max_header_fields: 17"),
        "listeners.paths": Change(
            "",
            "paths: lenient"),
        "listeners.proxy_protocol": Change(
            "",
            "proxy_protocol: {mode: required, trusted: [10.0.0.0/8]}"),
        "listeners.proxy_protocol.mode": Change(
            "proxy_protocol: {mode: required, trusted: [10.0.0.0/8]}",
            "proxy_protocol: {mode: optional, trusted: [10.0.0.0/8]}"),
        "listeners.proxy_protocol.timeout": Change(
            "proxy_protocol: {mode: required, trusted: [10.0.0.0/8]}",
            "proxy_protocol: {mode: required, trusted: [10.0.0.0/8], timeout: 7s}"),
        "listeners.request_id": Change(
            "",
            "request_id: keep"),
    ]

    static let routes: [String: Change] = [
        "routes.grpc_timeout": Change(
            "",
            "grpc_timeout: {default: 7s, maximum: 9s}"),
        "routes.grpc_timeout.default": Change(
            "grpc_timeout: {default: 7s, maximum: 9s}",
            "grpc_timeout: {default: 8s, maximum: 9s}"),
        "routes.grpc_timeout.maximum": Change(
            "grpc_timeout: {default: 7s, maximum: 9s}",
            "grpc_timeout: {default: 7s, maximum: 10s}"),
        "routes.hedge": Change(
            "",
            "hedge: {methods: [a.B/C], max_attempts: 2, delay: 50ms}"),
        "routes.hedge.buffer": Change(
            "hedge: {methods: [a.B/C], max_attempts: 2, delay: 50ms}",
            "hedge: {methods: [a.B/C], max_attempts: 2, delay: 50ms, buffer: 256KiB}"),
        "routes.hedge.delay": Change(
            "hedge: {methods: [a.B/C], max_attempts: 2, delay: 50ms}",
            "hedge: {methods: [a.B/C], max_attempts: 2, delay: 60ms}"),
        "routes.hedge.max_attempts": Change(
            "hedge: {methods: [a.B/C], max_attempts: 2, delay: 50ms}",
            "hedge: {methods: [a.B/C], max_attempts: 3, delay: 50ms}"),
        "routes.hedge.non_fatal": Change(
            "hedge: {methods: [a.B/C], max_attempts: 2, delay: 50ms}",
            "hedge: {methods: [a.B/C], max_attempts: 2, delay: 50ms, non_fatal: [internal]}"),
        "routes.idle_timeout": Change(
            "idle_timeout: 7s",
            "idle_timeout: 8s"),
        "routes.mirror": Change(
            "",
            "mirror: [{upstream: b}]"),
        "routes.request_headers": Change(
            "",
            "request_headers: {set: {x-a: b}}"),
        "routes.response_headers": Change(
            "",
            "response_headers: {set: {x-a: b}}"),
        "routes.response_trailers": Change(
            "",
            "response_trailers: {set: {x-a: b}}"),
        "routes.retry": Change(
            "",
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 25ms, maximum: 250ms}}"),
        "routes.retry.backoff": Change(
            "retry: {on: [unavailable], max_attempts: 2}",
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 30ms, maximum: 250ms}}"),
        "routes.retry.backoff.initial": Change(
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 25ms, maximum: 250ms}}",
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 30ms, maximum: 250ms}}"),
        "routes.retry.backoff.maximum": Change(
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 25ms, maximum: 250ms}}",
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 25ms, maximum: 300ms}}"),
        "routes.retry.buffer": Change(
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 25ms, maximum: 250ms}}",
            "retry: {on: [unavailable], max_attempts: 2, buffer: 256KiB, backoff: {initial: 25ms, maximum: 250ms}}"),
        "routes.retry.max_attempts": Change(
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 25ms, maximum: 250ms}}",
            "retry: {on: [unavailable], max_attempts: 3, backoff: {initial: 25ms, maximum: 250ms}}"),
        "routes.retry.on": Change(
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 25ms, maximum: 250ms}}",
            "retry: {on: [internal], max_attempts: 2, backoff: {initial: 25ms, maximum: 250ms}}"),
        "routes.retry.per_try_timeout": Change(
            "retry: {on: [unavailable], max_attempts: 2, backoff: {initial: 25ms, maximum: 250ms}}",
            "retry: {on: [unavailable], max_attempts: 2, per_try_timeout: 3s, backoff: {initial: 25ms, maximum: 250ms}}"
        ),
        "routes.rewrite": Change(
            "",
            "rewrite: {authority: a.test}"),
        "routes.timeout": Change(
            "timeout: 7s",
            "timeout: 8s"),
    ]

    /// Keys that no reload changes, or that others test, and why.
    static let exempt: [String: String] = [
        "listeners.name": "Another name is another listener.",
        "process": "The reload is refused: test_privileges.py.",
        "process.allow_new_privileges": "The reload is refused: test_privileges.py.",
        "process.core_dumps": "The reload is refused: test_privileges.py.",
        "process.sandbox": "The reload is refused: test_privileges.py.",
        "routes.name": "Another name is another route.",
        "upstreams": "`UpstreamReloadTests` has its keys.",
    ]

    static let mostUnproven = 146

    /// Keys without a probe. A key that is new gets one and does not come here.
    static let unproven = Set(
        """
        access_log access_log.path admin admin.address admin.allow_remote admin.hosts dns dns.attempts
        dns.servers dns.timeout drain drain.delay drain.grace limits limits.copy_buffer listeners
        listeners.address listeners.forward_client_certificate.details listeners.forwarded.trusted
        listeners.grpc_health listeners.metadata listeners.never_index listeners.policies
        listeners.policies.disabled listeners.policies.load_time_limit listeners.policies.lua
        listeners.policies.memory_limit listeners.policies.name listeners.policies.on_error
        listeners.policies.policy listeners.policies.settings listeners.policies.time_limit
        listeners.proxy_protocol.trusted listeners.tls listeners.tls.certificates
        listeners.tls.certificates.certificate listeners.tls.certificates.key listeners.tls.ciphers
        listeners.tls.client_certificates listeners.tls.client_certificates.ca
        listeners.tls.client_certificates.crl listeners.tls.client_certificates.depth
        listeners.tls.client_certificates.mode listeners.tls.client_certificates.names listeners.tls.curves
        listeners.tls.maximum_version listeners.tls.minimum_version overload overload.descriptors
        overload.descriptors.refuse_connections overload.memory overload.memory.limit
        overload.memory.refuse_connections overload.memory.refuse_streams overload.memory.reset_streams
        policies policies.body_limit policies.call_limit policies.calls_per_request
        policies.calls_per_worker policies.env policies.load_time_limit policies.memory_limit
        policies.message_limit policies.metric_series policies.path policies.policy_memory_limit
        policies.time_limit reload reload.max_age reload.max_generations reload.when_exceeded routes
        routes.encoded_slash routes.filter_context routes.hedge.methods routes.listeners routes.match
        routes.match.headers routes.match.headers.absent routes.match.headers.exact
        routes.match.headers.name routes.match.headers.prefix routes.match.headers.present
        routes.match.headers.regex routes.match.hosts routes.match.method routes.match.path
        routes.match.path_prefix routes.match.service routes.matches routes.matches.headers
        routes.matches.headers.absent routes.matches.headers.exact routes.matches.headers.name
        routes.matches.headers.prefix routes.matches.headers.present routes.matches.headers.regex
        routes.matches.hosts routes.matches.method routes.matches.path routes.matches.path_prefix
        routes.matches.service routes.metadata routes.mirror.buffer routes.mirror.percent
        routes.mirror.upstream routes.path_parameters routes.policies routes.policies.disabled
        routes.policies.load_time_limit routes.policies.lua routes.policies.memory_limit
        routes.policies.name routes.policies.on_error routes.policies.policy routes.policies.settings
        routes.policies.time_limit routes.request_headers.add routes.request_headers.remove
        routes.request_headers.set routes.response_headers.add routes.response_headers.remove
        routes.response_headers.set routes.response_trailers.add routes.response_trailers.remove
        routes.response_trailers.set routes.rewrite.authority routes.rewrite.authority_of_endpoint
        routes.rewrite.path routes.rewrite.path_prefix routes.rewrite.path_regex
        routes.rewrite.path_regex.pattern routes.rewrite.path_regex.substitution routes.upstream
        routes.upstreams routes.upstreams.name routes.upstreams.weight secrets secrets.env secrets.file
        watchdog watchdog.abort watchdog.live watchdog.stall workers
        """.split(whereSeparator: \.isWhitespace).map(String.init))
}
