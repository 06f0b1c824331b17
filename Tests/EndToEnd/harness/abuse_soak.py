"""The attacks of `harness.abuses`, several seconds each, and what they cost; run as a program.

    python -m harness.abuse_soak [--seconds N] [--only NAME,...] [--edge moongate|nginx|haproxy]

prints a Markdown table: when the attacker was cut off for the first time, the proxy's CPU time for each of its frames, how much
memory the proxy gained, and the p99 of a well-behaved gRPC client alone and beside the attack, with its failed calls. Exits with 1
if one failed, or if the proxy did not survive. The well-behaved client has a connection of its own to a server of its own.
"""
import argparse
import pathlib
import sys
import tempfile
import time

from .abuse_edge import AbusedEdge, CalmClient
from .abuses import ATTACKS
from .backend_process import BackendProcess
from .fast_backend import FastBackend
from .load import Running
from .ports import free_port
from .process import ManagedProcess
from .waiting import eventually

DEFAULTS = {"handshake_timeout": "2s", "request_headers_timeout": "2s", "request_body_timeout": "2s", "send_timeout": "2s"}
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


class Peer:
    """Another proxy with one worker, as it is configured by itself."""

    def __init__(self, name, folder, calm):
        self.sink = FastBackend(folder)
        (folder / "htdocs" / "large.bin").write_bytes(b"x" * (1 << 20))
        self.port = free_port()
        text = {"nginx": NGINX, "haproxy": HAPROXY}[name].format(
            folder=folder, calm=calm, sink=self.sink.address, port=self.port)
        file = folder / f"{name}.conf"
        file.write_text(text)
        command = {"nginx": ["/usr/sbin/nginx", "-c", file, "-p", folder], "haproxy": ["/usr/sbin/haproxy", "-db", "-f", file]}
        self.process = ManagedProcess(command[name])
        self.calm = f"127.0.0.1:{self.port}"
        time.sleep(1)

    def pids(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def attack(self, name, seconds):
        return Running([sys.executable, "-m", "harness.abuses", name, self.calm, seconds], limit=seconds + 60)

    def takes(self, name):
        return not ATTACKS[name].tls and name not in ("connections", "silent TLS")

    def running(self):
        return self.process.running()

    def stop(self):
        self.process.stop()
        self.sink.stop()


class Ours(AbusedEdge):
    def __init__(self, folder, calm):
        super().__init__(folder, calm, DEFAULTS)
        self.calm = self.proxy.bound["calm"]

    def pids(self):
        return [self.proxy.pid]

    def takes(self, name):
        return True

    def running(self):
        return self.proxy.running()


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100


def resident(pids):
    return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * 4096


def measure(edge, name, seconds):
    """One row of the table, and the well-behaved client's failures."""
    pids = edge.pids()
    with CalmClient(edge.calm) as calm:
        before = cpu_seconds(pids)
        time.sleep(2)
        idle = (cpu_seconds(pids) - before) / 2
    alone, failures = calm.p99, list(calm.failures)
    memory = peak = resident(pids)
    with CalmClient(edge.calm) as calm:
        before, began = cpu_seconds(pids), time.monotonic()
        attack = edge.attack(name, seconds)
        while attack.child.poll() is None and edge.running():
            peak = max(peak, resident(pids))
            time.sleep(0.05)
        result = attack.result()
        used = cpu_seconds(pids) - before - idle * (time.monotonic() - began)
    failures += calm.failures
    cut = "–"
    if result["cut_off"]:
        cut = f"{result['first_frames']:,} frames, {result['first_cut']:.1f} s"
    frames = result["frames"]
    cost = f"{max(0.0, used) * 1e6 / frames:.2f}" if frames >= 1000 else "–"
    if name == "TLS handshakes":
        cost = f"{max(0.0, used) * 1e6 / max(1, result['connections']):.0f} a connection"
    return (f"| {name} | {frames:,} | {cut} | {cost} | {(peak - memory) / (1 << 20):.1f} | {alone * 1000:.1f} | {calm.p99 * 1000:.1f} "
            f"| {len(failures)} |"), failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--edge", choices=["moongate", "nginx", "haproxy"], default="moongate")
    arguments = parser.parse_args()
    names = [name for name in ATTACKS if not arguments.only or name in arguments.only.split(",")]
    failed = []
    print("| Abuse | Frames | Cut off after | CPU µs a frame | Memory MiB | p99 alone ms | p99 beside ms | Failed |\n"
          "|---|---|---|---|---|---|---|---|",
          flush=True)
    calm = BackendProcess()
    try:
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder)
                edge = Ours(path, calm.address) if arguments.edge == "moongate" else Peer(arguments.edge, path, calm.address)
                try:
                    if edge.takes(name):
                        eventually(edge.running, 5)
                        row, failures = measure(edge, name, arguments.seconds)
                        print(row, flush=True)
                        failed += [f"{name}: {text}" for text in failures[:3]]
                        if not edge.running():
                            failed.append(f"{name}: the proxy has ended")
                finally:
                    edge.stop()
    finally:
        calm.stop()
    for text in failed:
        print(text, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
