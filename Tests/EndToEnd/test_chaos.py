"""Everything at once: load of all kinds, servers that are killed, hung and restarted, reloads, new certificates, clients that
vanish. Prints a table, as docs/reliability.md shows one; `scripts/soak chaos` is the long form.
"""
import os
import random
import statistics
import time

import pytest
from hyperframe.frame import DataFrame

from harness.backend_process import BackendProcess
from harness.frame_client import FrameClient, request, trusting_context
from harness.load import chaos_client
from harness.settings import configuration, route
from harness.waiting import eventually

MIB = 1 << 20
SLOW = bool(os.environ.get("MOONGATE_SANITIZER"))
SECONDS = float(os.environ.get("MOONGATE_CHAOS_SECONDS", 25))
HOST = "edge.test"
POLICY = """
    local moon = require "moon"
    local seen = moon.dict("seen", {{ max = 1000, ttl = 5 }})
    function on_request(handle)
      seen:incr("calls", 1, 0)
      handle:headers():add("x-mark", "{number}")
      for chunk in handle:bodyChunks() do chunk:setBytes(chunk:getBytes(0, chunk:length())) end
    end
    function on_response(handle) handle:headers():add("x-mark", "{number}") end"""


class Chaos:
    """A proxy in front of servers, and what goes wrong around it."""

    def __init__(self, moongate, authority, servers):
        self.authority = authority
        self.servers = servers
        self.hung = None
        self.done = dict.fromkeys(["reloads", "certificates", "servers killed", "servers hung", "clients vanished"], 0)
        self.certificate = authority.issue("edge", [HOST, "127.0.0.1"])
        self.proxy = moongate(self.settings(0), policies={"mark.lua": POLICY.format(number=0)})

    def settings(self, number):
        upstream = {
            "endpoints": [{"address": server.address, "weight": 1 + number % (index + 1)}
                          for index, server in enumerate(self.servers)],
            "health_check": {"grpc": {}, "interval": "500ms", "timeout": "300ms"} if number % 3 else {
                "tcp": {}, "interval": "500ms", "timeout": "300ms"},
            "outlier_detection": {"consecutive_local_errors": 5, "base_ejection_time": "1s"},
            "balance": ["round_robin", "least_request", "random"][number % 3],
        }
        return configuration(
            upstreams={"main": upstream},
            listeners=[{"name": "main", "address": "127.0.0.1:0",
                        "tls": {"certificates": [self.certificate.setting()]}}],
            routes=[route(policies=["policies/mark.lua"], timeout="10s",
                          retry={"on": ["unavailable", "connect_failure", "reset"], "max_attempts": 3})],
            workers=2)

    def reload(self, number):
        self.proxy.write("policies/mark.lua", POLICY.format(number=number))
        self.proxy.configure(self.settings(number))
        self.done["reloads"] += 1

    def rotate(self):
        """The same names, a new key: the files are written anew."""
        self.authority.issue("edge", [HOST, "127.0.0.1"])
        self.done["certificates"] += 1

    def harm_a_server(self):
        if self.hung:
            self.hung.wake()
            self.hung = None
            return
        server = random.choice(self.servers)
        if random.random() < 0.5:
            server.kill()
            server.start()
            self.done["servers killed"] += 1
        else:
            server.hang()
            self.hung = server
            self.done["servers hung"] += 1

    def vanish(self):
        """A client that is gone in the middle of a message, without a word."""
        client = FrameClient(self.proxy.address, tls=trusting_context(), server_name=HOST)
        stream = client.open(request("/moongate.test.Probe/Bidi"))
        client.send(DataFrame(stream, data=b"\0\0\1\0\0half"))
        time.sleep(random.uniform(0, 0.05))
        client.abort()
        self.done["clients vanished"] += 1

    def heal(self):
        if self.hung:
            self.hung.wake()


def run(chaos, seconds):
    """Until the time is over; gives the samples of resident memory."""
    samples, number = [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        began = time.monotonic()
        chaos.reload(number)
        if number % 3 == 0:
            chaos.harm_a_server()
        if number % 5 == 0:
            chaos.rotate()
        chaos.vanish()
        samples.append(chaos.proxy.resident_bytes())
        assert chaos.proxy.running(), "the proxy is gone"
        time.sleep(max(0, 1 - (time.monotonic() - began)))
    chaos.heal()
    return samples


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
def test_chaos_every_call_ends_rightly_and_nothing_is_left(moongate, authority, capsys):
    servers = [BackendProcess() for _ in range(3)]
    try:
        chaos = Chaos(moongate, authority(), servers)
        proxy = chaos.proxy
        files = proxy.open_files()
        load = chaos_client(proxy.address, SECONDS, chaos.authority.certificate)
        samples = run(chaos, SECONDS)
        said = load.result()
        eventually(lambda: proxy.metric("moongate_downstream_streams") == 0, 20, what="no stream is left")
        eventually(lambda: proxy.metric("moongate_downstream_connections") == 0, 20, what="no connection is left")
        generation = proxy.generation()
        third = len(samples) // 3
        warm, late = statistics.median(samples[third:2 * third]), statistics.median(samples[-third:])
        with capsys.disabled():
            print(f"\n{SECONDS:.0f} s: {', '.join(f'{count} {what}' for what, count in chaos.done.items())};"
                  f" {generation} generations, RSS {warm / MIB:.1f} -> {late / MIB:.1f} MiB\n")
            print_table(said["ended"])
        assert said["wrong"] == 0, said["examples"]
        for kind, ended in said["ended"].items():
            assert ended.get("OK", 0) > 0.5 * sum(ended.values()), f"{kind}: {ended}"
        assert proxy.failed_reloads() == 0
        # Connections to the three servers may stay, and a checker's one to each.
        eventually(lambda: proxy.open_files() <= files + 12, 20, what="descriptors are given back")
        if not SLOW and SECONDS >= 60:
            assert late <= warm + 8 * MIB, f"RSS grew from {warm / MIB:.1f} to {late / MIB:.1f} MiB"
    finally:
        for server in servers:
            server.stop()


def print_table(ended):
    statuses = sorted({status for counts in ended.values() for status in counts})
    print(f"| Calls | {' | '.join(statuses)} |\n|---|{'---|' * len(statuses)}")
    for kind, counts in ended.items():
        print(f"| {kind} | {' | '.join(str(counts.get(status, 0)) for status in statuses)} |")
