"""The attacks of `harness.abuses`, several seconds each, and what they cost; run as a program.

    python -m harness.abuse_soak [--seconds N] [--rounds N] [--only NAME,...] [--edge moongate|nginx|haproxy|envoy]

prints a Markdown table: when the attacker was cut off for the first time, the proxy's CPU time for each of its frames (without what
the well-behaved client's calls cost when it is alone; "–" where an attack takes too little to tell), how much memory the proxy
gained, and the p99 of a well-behaved gRPC client, over as long a time alone as beside the attack, with its failed calls. Exits with
1 if one failed, or if the proxy did not survive ("ended"; "no answer": a call of the client's had none within its ten seconds). The
well-behaved client has a connection of its own to a server of its own.

Where there are several processors, attackers and the server that they reach have one of their own, as they would have a machine:
what is measured is the edge, and not who gets a processor first.

Each round has a proxy of its own; of several, the table has the medians, the most of memory, and the sum of the calls.
"""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile
import time

from . import envoy
from .abuse_edge import AbusedEdge, CalmClient
from .abuses import ATTACKS
from .backend_process import BackendProcess
from .client import Client
from .fast_backend import FastBackend
from .load import Running
from .ports import free_port
from .process import ManagedProcess

OUTSIDE = {min(os.sched_getaffinity(0))} if len(os.sched_getaffinity(0)) > 1 else None
DEFAULTS = {"handshake_timeout": "2s", "request_headers_timeout": "2s", "request_body_timeout": "2s", "send_timeout": "2s"}
START = 1                     # seconds that client and attacker have to get ready
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream calm {{ server {calm}; keepalive 16; }}
  upstream sink {{ server {sink}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port} http2;
    location / {{ grpc_pass grpc://sink; }}
    location /helloworld.Greeter/ {{ grpc_pass grpc://calm; }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
frontend edge
  bind 127.0.0.1:{port} proto h2
  use_backend calm if {{ path_beg /helloworld.Greeter/ }}
  default_backend sink
backend calm
  server one {calm} proto h2
backend sink
  server one {sink} proto h2
"""
ENVOY = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          codec_type: HTTP2
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {{ match: {{ prefix: /helloworld.Greeter/ }}, route: {{ cluster: calm }} }}
              - {{ match: {{ prefix: / }}, route: {{ cluster: sink }} }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters: {clusters}
"""


class Peer:
    """Another proxy with one worker, as it is configured by itself."""

    def __init__(self, name, folder, calm):
        self.sink = FastBackend(folder, cpus=OUTSIDE)
        (folder / "htdocs" / "large.bin").write_bytes(b"x" * (1 << 20))
        self.port = free_port()
        clusters = [envoy.cluster("calm", [calm]), envoy.cluster("sink", [self.sink.address])]
        text = {"nginx": NGINX, "haproxy": HAPROXY, "envoy": ENVOY}[name].format(
            folder=folder, calm=calm, sink=self.sink.address, port=self.port, clusters=json.dumps(clusters))
        file = folder / f"{name}.yaml"        # Envoy goes by the end of the name
        file.write_text(text)
        command = {"nginx": ["/usr/sbin/nginx", "-c", file, "-p", folder], "haproxy": ["/usr/sbin/haproxy", "-db", "-f", file],
                   "envoy": [envoy.binary(), "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]}
        self.process = ManagedProcess(command[name])
        self.children = {}
        self.calm = f"127.0.0.1:{self.port}"
        time.sleep(1)

    def pids(self):
        found = list(map(int, "".join(proc([self.process.pid], f"task/{self.process.pid}/children")).split()))
        for pid in set(found) - set(self.children):
            with contextlib.suppress(ProcessLookupError):
                self.children[pid] = os.pidfd_open(pid)
        return [self.process.pid, *found]

    def attack(self, name, seconds, at):
        arguments = [sys.executable, "-m", "harness.abuses", name, self.calm, seconds, "--at", at]
        return Running(arguments, limit=seconds + 60, cpus=OUTSIDE)

    def running(self):
        return self.process.running()

    def stop(self):
        self.pids()
        self.process.stop()
        # Those that hang outlive it.
        for file in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(file, signal.SIGKILL)
            os.close(file)
        self.sink.stop()


class Ours(AbusedEdge):
    def __init__(self, folder, calm):
        super().__init__(folder, calm, DEFAULTS, outside=OUTSIDE)
        self.calm = self.proxy.bound["calm"]

    def pids(self):
        return [self.proxy.pid]

    def running(self):
        return self.proxy.running()


def proc(pids, name):
    """A file of each of these processes that has not ended."""
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield pathlib.Path(f"/proc/{pid}/{name}").read_text()


def cpu_seconds(pids):
    """What they have used so far, by the clock of each process: to the nanosecond, and with threads that have ended."""
    used = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            used += time.clock_gettime(~pid << 3 | 2)       # as clock_getcpuclockid(3) makes it
    return used


def resident(pids):
    return sum(int(text.split()[1]) for text in proc(pids, "statm")) * os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass
class Watched:
    """What was seen of a proxy and of its well-behaved client for a while."""
    p99: float
    calls: int
    failures: list
    cpu: float
    peak: int


def watch(edge, pids, began, seconds):
    with CalmClient(edge.calm) as calm:
        time.sleep(max(0, began - time.monotonic()))
        calm.times.clear()
        peak, before = 0, cpu_seconds(pids)
        while time.monotonic() < began + seconds and edge.running():
            peak = max(peak, resident(pids))
            time.sleep(0.05)
        cpu = cpu_seconds(pids) - before
    return Watched(calm.p99, len(calm.times), calm.failures, cpu, peak)


@dataclasses.dataclass
class Round:
    result: dict            # the attacker's
    alone: Watched
    beside: Watched
    memory: int
    survived: bool

    @property
    def cpu(self):
        """The attack's part of the proxy's time, and whether it stands out from the calls' part."""
        calls = self.alone.cpu * self.beside.calls / max(1, self.alone.calls)
        used = max(0.0, self.beside.cpu - calls)
        return used, used > max(0.02, calls / 4)

    @property
    def failures(self):
        return self.alone.failures + self.beside.failures


def measure(edge, name, seconds):
    pids = edge.pids()
    alone = watch(edge, pids, time.monotonic() + START, seconds)
    memory = resident(pids)
    began = time.monotonic() + START
    attack = edge.attack(name, seconds, at=began)
    beside = watch(edge, pids, began, seconds)
    result = attack.result()
    survived = edge.running() and edge.pids() == pids
    return Round(result, alone, beside, beside.peak - memory, survived)


def row(name, rounds):
    """One row of the table."""
    cut_off = [each.result for each in rounds if each.result["cut_off"]]
    cut = "–"
    if cut_off:
        frames, after = (statistics.median(each[key] for each in cut_off) for key in ("first_frames", "first_cut"))
        cut = f"{frames:,.0f} frames, {after:.1f} s"
    frames = sum(each.result["frames"] for each in rounds)
    used = sum(each.cpu[0] for each in rounds)
    cost = "–"
    if frames >= 1000 and all(each.cpu[1] for each in rounds):
        each_frame = used * 1e6 / frames
        cost = f"{each_frame:.2f}" if each_frame >= 0.1 else f"{each_frame:.3f}"
    if name == "TLS handshakes":
        cost = f"{used * 1e6 / max(1, sum(each.result['connections'] for each in rounds)):.0f} a connection"
    alone, beside = (statistics.median(watched.p99 for watched in kind) * 1000
                     for kind in ([each.alone for each in rounds], [each.beside for each in rounds]))
    # Of many calls, one without an answer is beyond the p99.
    failures = [text for each in rounds for text in each.failures]
    said = "no answer" if any("DEADLINE_EXCEEDED" in text for text in failures) else f"{beside:.1f}"
    if not all(each.survived for each in rounds):
        cut, cost, said = "ended", "–", "–"
    calls = sum(each.alone.calls + each.beside.calls for each in rounds)
    return (f"| {name} | {frames // len(rounds):,} | {cut} | {cost} | {max(each.memory for each in rounds) / (1 << 20):.1f} "
            f"| {alone:.1f} | {said} | {len(failures)} of {calls:,} |")


def takes(kind, name):
    """Peers have no listener for TLS, and none with limits."""
    return kind == "moongate" or not ATTACKS[name].tls and name not in ("connections", "silent TLS")


def one_round(kind, name, seconds, calm):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        edge = Ours(path, calm.address) if kind == "moongate" else Peer(kind, path, calm.address)
        try:
            with Client(edge.calm) as client:       # it may still be starting
                client.hello(timeout=20, wait_for_ready=True)
            return measure(edge, name, seconds)
        finally:
            edge.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--edge", choices=["moongate", "nginx", "haproxy", "envoy"], default="moongate")
    arguments = parser.parse_args()
    names = [name for name in ATTACKS
             if takes(arguments.edge, name) and (not arguments.only or name in arguments.only.split(","))]
    failed = []
    if OUTSIDE:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - OUTSIDE)
    print("| Abuse | Frames | Cut off after | CPU µs a frame | Memory MiB | p99 alone ms | p99 beside ms | Failed calls |\n"
          "|---|---|---|---|---|---|---|---|",
          flush=True)
    calm = BackendProcess()
    try:
        for name in names:
            rounds = [one_round(arguments.edge, name, arguments.seconds, calm) for _ in range(arguments.rounds)]
            print(row(name, rounds), flush=True)
            for each in rounds:
                failed += [f"{name}: {text}" for text in each.failures[:3]]
                if not each.survived:
                    failed.append(f"{name}: the proxy has ended")
    finally:
        calm.stop()
    for text in failed:
        print(text, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
