extension ConfigurationReference {
    /// Every key once, with a remark. It is valid; the tests read it.
    static let example = """
        # Two event loop threads. Without this line: one per core.
        workers: 2

        listeners:
          - name: plain
            address: 0.0.0.0:8080                 # cleartext HTTP/2 with prior knowledge
            max_concurrent_streams: 1000
            max_header_bytes: 64KiB
            max_header_fields: 256
            connection:
              handshake_timeout: 10s              # TLS and the beginning of HTTP/2
              request_headers_timeout: 10s
              request_body_timeout: 5m
              send_timeout: 60s                   # the client reads nothing
              max_age: 1h                         # then clients connect anew
              max_age_grace: 10m
              max_idle: 15m
              keepalive: {interval: 2m, timeout: 20s}
            limits:
              connections: 20000
              connections_per_address: 100
              connection_rate: 500                # new ones per second
              pending_handshakes: 1000            # for each worker
              response_buffer: 4MiB               # that the client of one connection does not take
              request_buffer: 4MiB                # heads, waiting and collected bodies, and calls of one connection, each
              control_frames: 1000
              resets: 1000
            forwarded:                            # what upstreams are told about clients
              trusted: [10.0.0.0/8]               # proxies in front, whose word counts
              trusted_hops: 1                     # how many of them a request passes
              x_forwarded_for: append
              x_forwarded_proto: set
              x_forwarded_host: set
              forwarded: "off"
            headers_with_underscores: drop        # or allow, or refuse
            request_id: keep                      # the client's x-request-id, or a new one
            never_index: [x-session]              # more headers that hold credentials
            grpc_health: true                     # for balancers in front
            paths: strict                         # or lenient
          - name: secure
            address: "[::]:8443"
            tls:
              certificates:                       # chosen by SNI; the first one is the fallback
                - certificate: certs/edge.crt
                  key: certs/edge.key
              client_certificates:                # mutual TLS
                mode: optional                    # required, optional or request
                ca: certs/clients-ca.crt
                crl: certs/clients.crl
                depth: 2
                names: ["*.clients.example.com", "spiffe://example.com/shop"]
              minimum_version: "1.2"
              maximum_version: "1.3"
              ciphers: [TLS_AES_128_GCM_SHA256, ECDHE-ECDSA-AES128-GCM-SHA256]
              curves: [X25519, P-256]
            proxy_protocol: {mode: required, trusted: [10.0.0.0/8, "fd00::/8"], timeout: 5s}
            forward_client_certificate: {mode: sanitize_set, details: [subject, uri]}
            policies:                             # run before a route is chosen
              - strip-port
              - name: stamp                       # a policy that stands right here
                lua: |
                  function on_request(handle) handle:headers():replace("x-edge", "eu-1") end
            metadata:                             # for handle:virtualHost():metadata()
              audit: {zone: eu-1}

        policies:
          path: [policies]                        # searched before the policies that ship
          time_limit: 50ms
          load_time_limit: 10s                    # for loading a policy, and for on_init
          memory_limit: 64MiB
          body_limit: 1MiB
          message_limit: 4MiB                     # of each gRPC message
          policy_memory_limit: 16MiB              # for each policy
          env: [REGION]                           # what os.getenv may read
          metric_series: 1000                     # of each metric that a policy defines
          call_limit: 1MiB
          calls_per_request: 16
          calls_per_worker: 4096

        secrets:                                  # for policies: moon.secret("session-key")
          session-key: {file: secrets/session-key}
          partner-token: {env: PARTNER_TOKEN}

        upstreams:
          greeter:
            endpoints: ["127.0.0.1:50051", "127.0.0.1:50052"]
            limits: {max_retries: 3}
            health_check:
              http: {path: /healthz, host: greeter.internal, expected_statuses: [200, 204]}
          plain:
            endpoints: ["127.0.0.1:50053"]
            health_check: {tcp: {}, no_traffic_interval: 60s}
          greeter-canary:
            endpoints:
              - address: canary.internal:50051
                weight: 3
              - canary2.internal:50051
            balance: least_request
            connect_timeout: 2s
            connection:
              max_age: 1h
              max_idle: 10m
              keepalive: {interval: 30s, timeout: 10s, allow_frequent: true}
              tcp_user_timeout: 20s
            dns_refresh: 30s
            health_check:                         # once for the process
              grpc: {service: helloworld.Greeter, authority: greeter.internal}
              interval: 10s
              jitter_percent: 10
              timeout: 1s
              healthy_threshold: 2
              unhealthy_threshold: 3
            outlier_detection:                    # takes out endpoints that fail
              consecutive_errors: 5
              error_statuses: [unavailable, internal]
              consecutive_local_errors: 5
              interval: 10s
              base_ejection_time: 30s
              max_ejection_time: 5m
              max_ejection_percent: 10
            panic_threshold: 50                   # percent of healthy endpoints; below, all are used
            slow_start: {window: 30s, min_weight_percent: 10}
            limits:                               # for the whole process
              max_connections: 100
              max_pending_requests: 1000
              max_requests: 10000
              retry_budget: {percent: 20, min_concurrency: 3}
            tls:                                  # `tls: {}` trusts the system's authorities
              ca: certs/internal-ca.crt
              crl: certs/internal.crl
              server_name: greeter.internal
              names: [greeter.internal, "spiffe://example.com/greeter"]
              certificate: certs/edge-client.crt
              key: certs/edge-client.key
              minimum_version: "1.3"
              maximum_version: "1.3"
              ciphers: [TLS_AES_128_GCM_SHA256]
              curves: [X25519]
          greeter-test:
            endpoints: [test.internal:50051]
            tls: {insecure_skip_verify: true}
          sessions:
            endpoints:
              - 127.0.0.1:50061
              - {address: "127.0.0.1:50062", priority: 1}   # when too few of priority 0 are usable
            balance: ring_hash                    # or maglev
            hash_on:                              # the first that the request has
              - header: x-session
              - cookie: {name: session, ttl: 1h, path: /}
              - query_parameter: session
              - source_address: true
            ring_hash: {minimum_ring_size: 1024, maximum_ring_size: 65536}
          sessions-2:
            endpoints: [{dns_srv: _grpc._tcp.sessions.internal}]
            balance: maglev
            maglev: {table_size: 65537}
          shadow:
            endpoints_file: endpoints/shadow.yaml # watched

        routes:
          - name: greeter
            listeners: [secure]
            match:
              hosts: [api.example.com, "*.api.example.com"]
              service: helloworld.Greeter
              method: SayHello
              headers:
                - {name: x-plan, exact: pro}
                - {name: x-team, prefix: blue-}
                - {name: x-version, regex: "v[0-9]+"}
                - {name: authorization, present: true}
                - {name: x-debug, absent: true}
            policies:
              - header-auth: {users: users.yaml}  # a policy with settings
              - policy: policies/audit.lua        # a file of one's own, in the full form
                on_error: continue
                time_limit: 20ms
                load_time_limit: 1s
                memory_limit: 4MiB
                settings: {level: info}
            path_parameters: allow                # /a;b=c goes on
            upstreams:                            # 95 % and 5 % of the requests
              - {name: greeter, weight: 95}
              - {name: greeter-canary, weight: 5}
            mirror:                               # copies, whose answers are dropped
              - {upstream: shadow, percent: 12.5, buffer: 1MiB}
            timeout: 30s
            idle_timeout: 1h                      # no byte of either body for so long
            grpc_timeout:
              default: 10s                        # for calls without grpc-timeout
              maximum: 5m                         # longer ones are cut to this
            retry:
              on: [unavailable, resource_exhausted, connect_failure, reset]
              max_attempts: 3                     # the first one included
              per_try_timeout: 2s
              backoff: {initial: 25ms, maximum: 250ms}
              buffer: 64KiB                       # longer requests are sent once
            request_headers:                      # behind all policies
              set: {x-client: "%{client_address}"}
              add: {via: 2 moongate}
              remove: [x-debug]
            response_headers: {remove: [server]}
            response_trailers: {set: {x-served-by: "%{upstream}"}}
            metadata:                             # for handle:metadata(), by the policy's name
              audit: {owner: team-a}
            filter_context: {plan: pro}           # for handle:filterContext() of every policy here
          - name: files
            matches:                              # one of them has to fit
              - path: /robots.txt
              - path_prefix: /files
            encoded_slash: keep                   # %2F goes on as it is
            rewrite:                              # for the upstream; or path: /…, or path_prefix: /…
              path_regex: {pattern: "^/files/v[0-9]+", substitution: /files}
              authority: files.internal           # or authority_of_endpoint: true
            policies:
              - {policy: stamp, disabled: true}   # the listener's policy does not run here
            upstream: greeter
          - name: lookup
            match: {service: helloworld.Lookup}
            upstream: greeter
            hedge:                                # several attempts at a time
              methods: [helloworld.Lookup/Find, "helloworld.Reader/*"]
              max_attempts: 2
              delay: 50ms
              non_fatal: [unavailable]
              buffer: 64KiB

        admin:
          address: 10.0.0.1:9901                  # /metrics, /live, /ready, /policies
          allow_remote: true                      # needed beyond loopback
          hosts: [edge.internal]                  # names that may be asked for, beside IP addresses

        access_log:
          path: "-"                               # standard output

        reload:                                   # for streams that outlive their policies
          max_generations: 8
          max_age: 24h
          when_exceeded: reset

        process:
          sandbox: "off"                          # or standard, or strict: no upgrades by SIGUSR2
          allow_new_privileges: true              # for programs with file capabilities
          core_dumps: true

        dns:                                      # for names of endpoints
          servers: [127.0.0.53]                   # default: those of /etc/resolv.conf
          timeout: 2s
          attempts: 2

        limits:                                   # of the whole process
          copy_buffer: 32MiB                      # for mirrors, further attempts and connections that are ending

        overload:                                 # load is shed in this order
          memory:
            limit: 2GiB                           # default: the container's
            refuse_streams: 85                    # percent of the limit
            refuse_connections: 90
            reset_streams: 95
          descriptors:
            refuse_connections: 90                # percent of `ulimit -n`

        drain:
          delay: 5s
          grace: 30s

        watchdog:                                 # when a worker hangs
          stall: 2s                               # it gets no new connections
          live: 10s                               # /live fails
          abort: 60s                              # default: never

        """
}
