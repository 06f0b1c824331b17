"""An edge with one listener for those who abuse it and one for a client that does not, before servers of their own."""
import sys
import threading
import time

import grpc

from .abuses import ATTACKS
from .certificates import Certificate
from .client import Client
from .fast_backend import FastBackend
from .load import Running
from .proxy import Moongate
from .settings import configuration, route
from .stubs import HelloRequest

QUICK = {"handshake_timeout": "1s", "request_headers_timeout": "1s", "request_body_timeout": "2s", "send_timeout": "2s"}
GATES = {"connections": "few", "silent TLS": "pending", "TLS handshakes": "tls"}
LARGE = 1 << 20


class AbusedEdge:
    """Runs the proxy until `stop`. `backend`: the address of the well-behaved client's server; `connection`: settings of the
    abused listeners; `limits`: of the one that most attacks are for; `outside`: the processors of attackers and of the server
    that they reach."""

    def __init__(self, folder, backend, connection=None, limits=None, outside=None):
        self.outside = outside
        self.sink = FastBackend(folder, cpus=outside)
        (folder / "htdocs" / "large.bin").write_bytes(b"x" * LARGE)
        listener = {"address": "127.0.0.1:0", "connection": connection or QUICK}
        tls = {"certificates": [Certificate(folder, "edge", ["localhost"]).setting()]}
        self.proxy = Moongate(folder / "edge", configuration(
            listeners=[
                {"name": "calm", "address": "127.0.0.1:0"}, {"name": "attacked", **listener, "limits": limits or {}},
                {"name": "few", **listener, "limits": {"connections": 20}},
                {"name": "pending", **listener, "tls": tls, "limits": {"pending_handshakes": 50}},
                {"name": "tls", **listener, "tls": tls}],
            upstreams={"calm": [backend], "sink": [self.sink.address]},
            routes=[route("calm", "calm", match={"service": "helloworld.Greeter"}), route("sink", "others")]))

    def address(self, name):
        return self.proxy.bound[GATES.get(name, "attacked")]

    def stop(self):
        code = self.proxy.stop()
        self.sink.stop()
        return code

    def attack(self, name, seconds, once=False, at=0):
        """Starts an attack in a process of its own; `at`: when it begins, by the monotonic clock."""
        arguments = [sys.executable, "-m", "harness.abuses", name, self.address(name), seconds, "--at", at]
        return Running(arguments + (["--once"] if once else []), limit=seconds + 30, cpus=self.outside)

    def received(self, name):
        return self.proxy.metric("moongate_downstream_received_bytes_total", listener=GATES.get(name, "attacked"))

    def counted(self, name):
        """How often the proxy says that it has cut somebody off for it."""
        kind = ATTACKS[name].kind
        if kind in ("connections", "pending_handshakes"):
            return self.proxy.metric("moongate_downstream_refused_total", limit=kind)
        if kind == "handshake_timeout":
            return self.proxy.metric("moongate_downstream_expired_total", reason=kind)
        return self.proxy.metric("moongate_downstream_abuse_total", kind=kind, listener="attacked")


class CalmClient:
    """Makes one call after the other in a thread while the block runs."""

    def __init__(self, address, pause=0.002):
        self.client = Client(address)
        self.pause = pause
        self.times, self.failures = [], []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stopped.is_set():
            began = time.monotonic()
            try:
                self.client.greeter.SayHello(HelloRequest(name="calm"), timeout=10)
            except grpc.RpcError as error:
                self.failures.append(f"{error.code().name}: {error.details()}")
            self.times.append(time.monotonic() - began)
            time.sleep(self.pause)

    def __enter__(self):
        self.client.hello()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join(15)
        self.client.close()

    @property
    def p99(self):
        """Seconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] if ordered else 0.0


