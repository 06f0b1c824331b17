"""Processes on their cores, the load, and what it cost."""
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

from peers import find

PATH = "/bench.Echo/Unary.grpc"
AUTHORITY = "bench.example:50051"
USER, PASSWORD = "user42", "secret42"
TICK = os.sysconf("SC_CLK_TCK")


def message(size, byte):
    """A gRPC message without compression."""
    return b"\0" + size.to_bytes(4, "big") + byte * size


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program on one core, with its own process group, that is gone when the block ends."""

    def __init__(self, argv, core, log, port):
        self.log = log
        with open(log, "wb") as out:
            self.child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        deadline = time.monotonic() + 15
        while not _accepts(port):
            if self.child.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"{argv[0]} did not start:\n" + log.read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def stop(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, number)
                self.child.wait(3)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue

    def cpu_seconds(self):
        """User and system time of the process and those it started."""
        return sum(_cpu_seconds(pid) for pid in _family(self.child.pid))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def _family(pid):
    found = [pid]
    for parent in found:
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    return found


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Backend(Process):
    """nghttpd: 128 octets of gRPC message and the trailer `grpc-status: 0`."""

    def __init__(self, work, core):
        folder = work / "htdocs" / "bench.Echo"
        folder.mkdir(parents=True)
        (folder / "Unary.grpc").write_bytes(message(123, b"a"))
        (work / "mime.types").write_text("application/grpc grpc\n")
        self.port = free_port()
        super().__init__(
            ["nghttpd", "-a", "127.0.0.1", "-d", work / "htdocs", "-m", "1000", "--trailer", "grpc-status: 0",
             "--no-content-length", "--mime-types-file", work / "mime.types", "--no-tls", str(self.port)],
            core, work / "nghttpd.log", self.port)


class Proxy(Process):
    def __init__(self, peer, work, back, core):
        self.peer, self.port = peer, free_port()
        folder = work / peer.name
        folder.mkdir(exist_ok=True)
        argv = peer.prepare(find(peer), folder, self.port, back)
        super().__init__([str(argument) for argument in argv], core, folder / "log", self.port)

    def check(self, load):
        """A wrong answer is not worth measuring."""
        said = load.ask(self.port, PASSWORD)
        if said != ("200", "0"):
            raise SystemExit(f"{self.peer.name} answers {said}:\n" + self.log.read_text(errors="replace")[-2000:])
        if self.peer.guarded and load.ask(self.port, "wrong")[1] != "16":
            raise SystemExit(f"{self.peer.name} does not refuse a wrong password")


@dataclass
class Result:
    rate: float
    microseconds: float
    busy: float
    failed: int


class Load:
    def __init__(self, work, options):
        self.options = options
        self.body = work / "body"
        self.body.write_bytes(message(64, b"q"))

    def _fields(self, password):
        fields = ["content-type: application/grpc", "te: trailers", f"username: {USER}", f"password: {password}"]
        return [part for field in fields for part in ("-H", field)]

    def ask(self, port, password):
        """One request: its HTTP status and its grpc-status."""
        text = subprocess.run(
            ["nghttp", "-nv", "-t", "5", "-d", self.body, "-H", f":authority: {AUTHORITY}", *self._fields(password),
             f"http://127.0.0.1:{port}{PATH}"], capture_output=True, timeout=20).stdout.decode("latin-1")
        found = dict(re.findall(r"recv \(stream_id=\d+\) (:status|grpc-status): (\d+)", text))
        return found.get(":status"), found.get("grpc-status")

    def run(self, proxy, seconds):
        argv = ["h2load", "-D", f"{seconds * 1000:.0f}ms", "-t", "1", "-c", self.options.connections,
                "-m", self.options.streams, "-d", self.body, f"--connect-to=127.0.0.1:{proxy.port}",
                *self._fields(PASSWORD), f"http://{AUTHORITY}{PATH}"]
        cpu, began = proxy.cpu_seconds(), time.monotonic()
        text = subprocess.run(
            [str(argument) for argument in argv], capture_output=True, text=True, timeout=seconds + 30,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.options.load_core})).stdout
        cpu, took = proxy.cpu_seconds() - cpu, time.monotonic() - began
        done, *wrong = map(int, re.search(
            r"(\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text).groups())
        wrong += map(int, re.search(r"2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text).groups())
        rate = float(re.search(r"([\d.]+) req/s", text).group(1))
        return Result(rate, cpu / max(done, 1) * 1e6, cpu / took, sum(wrong))
