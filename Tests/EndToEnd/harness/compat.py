"""The same scripts in a real Envoy and in Moongate, and the same requests to both.

A test names its script with `@lua("…")`. One Envoy and one Moongate serve the scripts of all tests of a run: each test has
a host of its own, each of its scripts a route. `both.call(…)` sends a request to both, fails where the outcomes differ,
and returns the common outcome, of which the test then says what it expects.

`MOONGATE_COMPAT=envoy` in the environment leaves Moongate out: it shows what Envoy does.
"""
import json
import os
import re
import subprocess
from dataclasses import dataclass, field

import pytest

from . import envoy as settings_of
from .envoy import Envoy
from .frame_client import FrameClient
from .ports import unused_port
from .proxy import Moongate, run_command
from .recording import RecordingUpstream, outcome
from .settings import configuration, route, text
from .waiting import eventually

ENVOY_ONLY = os.environ.get("MOONGATE_COMPAT") == "envoy"
UPSTREAMS = ("main", "other", "service")
LEVELS = {"warn": "warning", "err": "error"}

lua = pytest.mark.lua
differs = pytest.mark.differs


@dataclass
class Route:
    """A script on a route: `metadata` and `context` are the route's metadata for the filter and its `filter_context`."""
    script: str
    path: str = "/"
    upstream: str = "main"
    metadata: dict = None
    context: dict = None
    modules: dict = field(default_factory=dict)     # texts of modules by name
    envoy: dict = field(default_factory=dict)       # of the route, for Envoy alone
    moongate: dict = field(default_factory=dict)    # of the policy, for Moongate alone


@dataclass
class Case:
    """What one test needs."""
    name: str
    routes: list

    @property
    def modules(self):
        """Texts by file name."""
        return {f"{name}.lua": text for given in self.routes for name, text in given.modules.items()}

    @property
    def host(self):
        return f"{self.name}.test"


def case_of(item, number):
    """The case that the marks `lua` of a test describe; `None` if it has none."""
    marks = list(item.iter_markers("lua"))
    if not marks:
        return None
    numbers = re.match(r"test_(C\d+)", item.name)
    name = f"{numbers[1].lower() if numbers else 'x'}-{number}"
    return Case(name, [Route(*mark.args, **mark.kwargs) for mark in reversed(marks)])


class Edge:
    """One of the two proxies with its upstreams."""

    def __init__(self):
        self.upstreams = {name: RecordingUpstream() for name in UPSTREAMS}
        self.nobody = f"127.0.0.1:{unused_port()}"

    def addresses(self):
        each = {name: [server.address] for name, server in self.upstreams.items()}
        return {**each, "pair": [*each["main"], *each["other"]], "nobody": [self.nobody]}

    def close(self):
        self.process.stop()
        for server in self.upstreams.values():
            server.close()

    @property
    def address(self):
        return self.process.bound["main"]

    def begin(self, case):
        """Before each test."""
        self.case = case
        self.clients = []
        self.log_start = len(self.process.lines)
        self.errors_before, self.runs_before = self.total_errors(), self.total_runs()
        for server in self.upstreams.values():
            server.begin()

    def end(self):
        """After each test."""
        for client in self.clients:
            client.close()

    def connect(self, **options):
        client = FrameClient(self.address, **options)
        self.clients.append(client)
        return client

    def errors(self):
        """Failed hooks since the test began."""
        return self.total_errors() - self.errors_before

    def runs(self):
        """Hooks run since the test began."""
        return self.total_runs() - self.runs_before

    def call(self, path="/", method=None, headers=(), body=None, chunks=None, trailers=None, grpc=False, host=None,
             responders=None):
        """Sends a request and returns its outcome. `responders`: how upstreams answer, by name."""
        for name, server in self.upstreams.items():
            server.begin((responders or {}).get(name))
        head = self.head(path, method or ("POST" if grpc or body is not None or chunks else "GET"), headers, grpc, host)
        client = self.connect()
        parts = chunks or ([body] if body is not None else [])
        stream = client.open(head, end_stream=not parts and trailers is None)
        for number, part in enumerate(parts):
            try:
                client.send_allowed(stream, part, number == len(parts) - 1 and trailers is None)
            except AssertionError:
                break                   # the proxy takes no more: its answer says why
        if trailers is not None:
            client.send_headers(stream, list(trailers), end_stream=True)
        return outcome(client.answer(stream), self.seen())

    def head(self, path="/", method="GET", headers=(), grpc=False, host=None):
        """The head of a request to the test's host."""
        usual = [(":method", method), (":scheme", "http"), (":authority", host or self.case.host), (":path", path)]
        return usual + ([("content-type", "application/grpc"), ("te", "trailers")] if grpc else []) + list(headers)

    def seen(self):
        found = {name: server.seen() for name, server in self.upstreams.items()}
        return {name: requests for name, requests in found.items() if requests}


    def settled_log(self, count):
        """What scripts have logged, as soon as it is so many entries."""
        eventually(lambda: len(self.log()) >= count, 3, what=f"{count} entries in {self.name}'s log: {self.log()}")
        return self.log()


class EnvoyEdge(Edge):
    name = "envoy"

    def __init__(self, folder, cases):
        super().__init__()
        hosts = [self.virtual_host(case) for case in cases]
        for case in cases:
            for name, text in case.modules.items():     # it looks for modules in its working directory
                folder.mkdir(exist_ok=True)
                (folder / name).write_text(text, encoding="utf-8")
        clusters = [settings_of.cluster(name, endpoints) for name, endpoints in self.addresses().items()]
        self.process = Envoy(folder, settings_of.bootstrap([settings_of.listener("main", hosts)], clusters))

    def virtual_host(self, case):
        routes = sorted(enumerate(case.routes), key=lambda pair: -len(pair[1].path))      # the first that fits wins
        return {"name": case.name, "domains": [case.host, f"{case.host}:*"],
                "routes": [self.route(case, number, given) for number, given in routes]}

    def route(self, case, number, given):
        lua = settings_of.script(given.script)
        if given.context is not None:
            lua["filter_context"] = given.context
        metadata = {"filter_metadata": {"envoy.filters.http.lua": given.metadata}} if given.metadata else {}
        return {"name": f"{case.name}-{number}", "match": {"prefix": given.path}, "metadata": metadata,
                "route": {"cluster": given.upstream, "timeout": "0s"},
                "typed_per_filter_config": {"envoy.filters.http.lua": lua}, **given.envoy}

    def total_errors(self):
        return sum(self.process.stats("lua.errors").values())

    def total_runs(self):
        return sum(self.process.stats("lua.executions").values())

    def counter(self, name):
        """A counter that scripts made by `stats()`."""
        return self.process.stats(f"lua.{name}")[f"http.main.lua.{name}"]

    def log(self):
        """(level, text) of what scripts have logged since the test began; errors of scripts are left out."""
        return [entry for entry in self.process.script_log(self.log_start) if entry[0] != "error"]


# Like an Envoy that does not say `use_remote_address`.
LISTENER = {"name": "main", "address": "127.0.0.1:0", "forwarded": {"x_forwarded_for": "pass"}}


class MoongateEdge(Edge):
    name = "moongate"

    def __init__(self, folder, cases):
        super().__init__()
        policies, routes = {}, []
        for case in cases:
            policies.update(case.modules)
            for number, given in enumerate(case.routes):
                policies[f"{case.name}-{number}.lua"] = given.script
                routes.append(self.route(case, number, given))
        self.process = Moongate(
            folder, configuration(upstreams=self.addresses(), routes=routes, listeners=[LISTENER], policies={
                "path": ["policies"], "body_limit": "512KiB"}), policies=policies)

    def route(self, case, number, given):
        policy = {"policy": f"policies/{case.name}-{number}.lua", "on_error": "continue",
                  **given.moongate}
        context = {} if given.context is None else {"filter_context": given.context}
        return {"name": f"{case.name}-{number}", "match": {"hosts": [case.host], "path_prefix": given.path},
                "metadata": {"envoy.filters.http.lua": given.metadata} if given.metadata else {},
                "upstream": given.upstream, "policies": [policy], **context}

    def total_errors(self):
        return int(self.process.metric("moongate_policy_errors_total"))

    def total_runs(self):
        return int(self.process.metric("moongate_policy_runs_total"))

    def counter(self, name):
        # Prometheus's parser gives counters their usual ending.
        return int(self.process.metric("lua_" + re.sub(r"\W", "_", name) + "_total"))

    def log(self):
        entries = [entry for entry in self.process.log_entries(self.log_start) if "policy" in entry]
        return [(LEVELS.get(entry["level"], entry["level"]), entry["message"]) for entry in entries
                if "traceback" not in entry]


class Both:
    """Envoy and Moongate, for one test."""

    def __init__(self, edges, differences):
        self.edges = edges
        self.differences = differences
        self.went_apart = False

    def each(self, action):
        """Runs `action(edge)` for both, and returns the result, which has to be the same."""
        __tracebackhide__ = True
        results = [action(edge) for edge in self.edges]
        if len(results) == 2 and results[0] != results[1]:
            pytest.fail(f"Moongate differs from Envoy\n  envoy:    {results[0]}\n  moongate: {results[1]}")
        return results[0]

    def call(self, **request):
        """Sends the request to both, and returns the common outcome."""
        __tracebackhide__ = True
        return self.each(lambda edge: edge.call(**request))

    def apart(self, action=None, **request):
        """The results of Envoy and Moongate, which differ as the test's mark `differs` says."""
        assert self.differences, "a difference needs a mark that names it"
        self.went_apart = True
        results = [action(edge) if action else edge.call(**request) for edge in self.edges]
        if len(results) == 1:
            return results[0], results[0]
        assert results[0] != results[1], f"no difference any more: {results[0]}"
        return results

    def errors(self, count):
        """Waits until this number of hooks has failed in both since the test began."""
        for edge in self.edges:
            eventually(lambda edge=edge: edge.errors() >= count, 3, what=f"{count} script errors in {edge.name}")
            assert edge.errors() == count, edge.name

    def logs(self, *entries):
        """Waits until the scripts have logged exactly these (level, text) in both since the test began."""
        for edge in self.edges:
            assert edge.settled_log(len(entries)) == list(entries), edge.name


class World:
    """Both proxies with the scripts of all tests of a run."""

    def __init__(self, folder, cases):
        kinds = [EnvoyEdge] if ENVOY_ONLY else [EnvoyEdge, MoongateEdge]
        self.edges = [kind(folder / kind.name, cases) for kind in kinds]

    def close(self):
        for edge in self.edges:
            edge.close()


def refusals(folder, script):
    """What Envoy and Moongate say when they are asked to load this script: a text each, `None` if they take it."""
    host = {"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "direct_response": {"status": 200},
         "typed_per_filter_config": {"envoy.filters.http.lua": settings_of.script(script)}}]}
    file = folder / "envoy.json"
    file.write_text(json.dumps(settings_of.bootstrap([settings_of.listener("main", [host])], [])), encoding="utf-8")
    done = subprocess.run([settings_of.binary(), "--mode", "validate", "--config-path", file, "--log-level", "warning"],
                          capture_output=True, text=True, timeout=30)
    said = [done.stderr if done.returncode else None]
    if not ENVOY_ONLY:
        (folder / "policy.lua").write_text(script, encoding="utf-8")
        file = folder / "moongate.yaml"
        routes = [route(policies=["policy.lua"])]
        file.write_text(text(configuration("127.0.0.1:1", routes=routes)), encoding="utf-8")
        done = run_command("check", "--config", file)
        said.append(done.stderr if done.returncode else None)
    return said
