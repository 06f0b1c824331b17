"""Other edges, to compare what they pass on: Envoy with the settings that its documentation recommends for an edge, nginx, and
HAProxy with its normalisers. `scripts/bench/paths` uses them."""
import shutil

from .envoy import Envoy
from .ports import connects, free_port, split
from .process import ManagedProcess
from .waiting import eventually


def envoy(folder, upstream):
    """https://www.envoyproxy.io/docs: configuring Envoy as an edge proxy."""
    host, port = split(upstream)
    typed = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{typed}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge", "codec_type": "HTTP2", "normalize_path": True, "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "route_config": {"virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "server"}}]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{typed}.filters.http.router.v3.Router"}}],
    }
    made = Envoy(folder, {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": [{
                "name": "edge", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}]}],
            "clusters": [{
                "name": "server", "type": "STATIC",
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": f"{typed}.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}}}},
                "load_assignment": {"cluster_name": "server", "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}]}]}}]}})
    made.address = made.bound["edge"]
    return made


_NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{port} http2; location / {{ grpc_pass grpc://{upstream}; }} }}
}}
"""

_HAPROXY = """
global
    expose-experimental-directives
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend edge
    bind 127.0.0.1:{port} proto h2
    http-request normalize-uri fragment-strip
    http-request normalize-uri percent-decode-unreserved strict
    http-request normalize-uri percent-to-uppercase strict
    http-request normalize-uri path-merge-slashes
    http-request normalize-uri path-strip-dot
    http-request normalize-uri path-strip-dotdot full
    default_backend server
backend server
    server s {upstream} proto h2
"""


def _started(folder, name, text, arguments, upstream):
    folder.mkdir()
    port = free_port()
    (folder / name).write_text(text.format(port=port, upstream=upstream), encoding="utf-8")
    made = ManagedProcess([*arguments, folder / name], cwd=folder)
    made.address = f"127.0.0.1:{port}"
    eventually(lambda: connects(made.address), 20, what=f"{arguments[0]} listens")
    return made


def nginx(folder, upstream):
    return _started(folder, "nginx.conf", _NGINX, [shutil.which("nginx"), "-p", folder, "-c"], upstream)


def haproxy(folder, upstream):
    return _started(folder, "haproxy.cfg", _HAPROXY, [shutil.which("haproxy"), "-db", "-f"], upstream)


EDGES = {"Envoy": envoy, "nginx": nginx, "HAProxy": haproxy}
