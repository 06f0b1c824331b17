"""The proxies, each with one worker, no access log, and HTTP/2 connections to the backend that are used again."""
import os
import shutil
import sys
from dataclasses import dataclass
from typing import Callable

HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend front
    bind 127.0.0.1:{front} proto h2
    default_backend echo
backend echo
    http-reuse always
    server one 127.0.0.1:{back} proto h2
"""

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    http2_max_concurrent_streams 256;
    upstream echo {{ server 127.0.0.1:{back}; keepalive 512; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{front} http2;
        location / {{ grpc_set_header Host $http_host; grpc_pass grpc://echo; }}
    }}
}}
"""

# As Envoy's benchmarking FAQ asks: no request id, and no limit on requests under way.
ENVOY = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {front} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: HTTP2
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: echo, timeout: 0s }} }}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: echo
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    circuit_breakers:
      thresholds: [{{ max_connections: 1000000, max_pending_requests: 1000000, max_requests: 1000000 }}]
    load_assignment:
      cluster_name: echo
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {back} }} }} }}
"""

NGHTTPX = """
workers=1
frontend=127.0.0.1,{front};no-tls
backend=127.0.0.1,{back};;proto=h2
log-level=ERROR
"""

MOONGATE = """
workers: 1
listeners:
  - address: 127.0.0.1:{front}
upstreams:
  echo: {{endpoints: ["127.0.0.1:{back}"]}}
routes:
  - name: all
    upstream: echo
"""

POLICIES = """    policies:
      - strip-port
      - header-auth: {users: users.yaml}
"""


@dataclass
class Peer:
    name: str
    # Writes the configuration; gets binary, folder, both ports; gives the command.
    prepare: Callable
    binary: str = ""
    # Refuses wrong passwords.
    guarded: bool = False


def find(peer):
    """`NAME_BIN` of the environment, else the program on the path, in sbin, or beside this Python."""
    name = peer.binary or peer.name
    folders = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", os.path.dirname(sys.executable)]
    return os.environ.get(f"{name.upper()}_BIN") or shutil.which(name, path=os.pathsep.join(folders))


def configured(template, file, *arguments):
    """A `prepare` that fills in a template and starts the program with it; `{}` in an argument is the file."""
    def prepare(binary, folder, front, back):
        path = folder / file
        path.write_text(template.format(front=front, back=back, folder=folder))
        return [binary, *[argument.format(path) for argument in arguments]]
    return prepare


def moongate_with_policies(binary, folder, front, back):
    from make_users import users_file
    (folder / "users.yaml").write_text(users_file(1000))
    path = folder / "moongate.yaml"
    path.write_text(MOONGATE.format(front=front, back=back) + POLICIES)
    return [binary, "run", "--config", path]


PEERS = [
    Peer("haproxy", configured(HAPROXY, "haproxy.cfg", "-f", "{}")),
    Peer("nginx", configured(NGINX, "nginx.conf", "-e", "stderr", "-c", "{}")),
    Peer("nghttpx", configured(NGHTTPX, "nghttpx.conf", "--conf={}")),
    Peer("envoy", configured(
        ENVOY, "envoy.yaml", "-c", "{}", "--concurrency", "1", "--disable-hot-restart", "-l", "error")),
    Peer("moongate", configured(MOONGATE, "moongate.yaml", "run", "--config", "{}")),
    Peer("moongate+policies", moongate_with_policies, binary="moongate", guarded=True),
]
