"""Everything at once: load of all kinds, with mirrors, hedged attempts and retries; servers that are killed, hung and restarted,
endpoints that refuse or take no connection, reloads, new certificates, clients that vanish or do not read. Prints a table, as docs/reliability.md shows one; `scripts/soak chaos` is the long form.
"""
import os
import random
import socket
import statistics
import time

import pytest
from hyperframe.frame import DataFrame

from harness.backend_process import BackendProcess
from harness.frame_client import DeafClient, FrameClient, request, trusting_context
from harness.frames import message
from harness.load import chaos_client
from harness.ports import unused_port
from harness.settings import configuration, route
from harness.stubs import Order
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
        self.done = dict.fromkeys(["reloads", "certificates", "servers killed", "servers hung", "clients vanished",
                                   "clients deaf"], 0)
        self.deaf = None
        # One refuses, the other takes no connection: its queue is full.
        self.silent = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.fillers = []
        self.fill()
        self.failing = [f"127.0.0.1:{unused_port()}", f"127.0.0.1:{self.silent.getsockname()[1]}"]
        self.certificate = authority.issue("edge", [HOST, "127.0.0.1"])
        self.proxy = moongate(self.settings(0), policies={"mark.lua": POLICY.format(number=0)})

    def fill(self):
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.silent.getsockname())
            self.fillers.append(filler)

    def settings(self, number):
        endpoints = [{"address": server.address, "weight": 1 + number % (index + 1)}
                     for index, server in enumerate(self.servers)]
        # They come and go: health checks take them out by and by.
        failing = [{"address": address} for address in self.failing[:number % 3]]
        upstream = {
            "endpoints": endpoints + failing, "connect_timeout": "300ms",
            "health_check": {"grpc": {}, "interval": "500ms", "timeout": "300ms"} if number % 3 else {
                "tcp": {}, "interval": "500ms", "timeout": "300ms"},
            "outlier_detection": {"consecutive_local_errors": 5, "base_ejection_time": "1s"},
            "balance": ["round_robin", "least_request", "random"][number % 3],
        }
        # The route's own upstream is one of its mirrors.
        both = {"policies": ["policies/mark.lua"], "timeout": "10s",
                "mirror": [{"upstream": "shadow", "percent": 50}, {"upstream": "main", "percent": 20, "buffer": "64KiB"}]}
        return configuration(
            upstreams={"main": upstream,
                       # Nobody finds out before a copy goes there.
                       "shadow": {"endpoints": [*endpoints, *self.failing], "connect_timeout": "200ms"}},
            listeners=[{"name": "main", "address": "127.0.0.1:0",
                        "tls": {"certificates": [self.certificate.setting()]}}],
            routes=[route(name="unary", match={"service": "moongate.test.Probe", "method": "Unary"}, hedge={
                        "methods": ["moongate.test.Probe/Unary"], "delay": "30ms", "max_attempts": 3,
                        "non_fatal": ["unavailable", "connect_failure", "reset"], "buffer": "1MiB"}, **both),
                    route(retry={"on": ["unavailable", "connect_failure", "reset"], "max_attempts": 3}, **both)],
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

    def stop_listening(self):
        """A client that asks for more than its socket takes and reads it only later, or never."""
        if self.deaf:
            if random.random() < 0.5:
                self.deaf.listen()
                time.sleep(0.1)
            self.deaf.abort()
        self.deaf = DeafClient(self.proxy.address, tls=trusting_context(), server_name=HOST)
        stream = self.deaf.open(request("/moongate.test.Probe/ServerStream"))
        order = Order(count=20, answer_bytes=300_000)
        self.deaf.send(DataFrame(stream, data=message(order.SerializeToString()), flags=["END_STREAM"]))
        self.done["clients deaf"] += 1

    def heal(self):
        if self.hung:
            self.hung.wake()
        if self.deaf:
            self.deaf.abort()

    def stop(self):
        for connection in [self.silent, *self.fillers]:
            connection.close()

    def tally(self):
        """What the proxy has had to do with it; nothing of it may be missing."""
        return {what: self.proxy.metric(name, **labels) for what, name, labels in (
            ("hedged attempts", "moongate_retries_total", {"route": "unary"}),
            ("retries", "moongate_retries_total", {"route": "all"}),
            ("mirrored", "moongate_mirror_requests_total", {"upstream": "shadow"}),
            ("mirrored to itself", "moongate_mirror_requests_total", {"upstream": "main"}),
            ("mirrors dropped", "moongate_mirror_dropped_total", {}),
            ("failed connects", "moongate_upstream_connects_total", {"result": "failure"}))}


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
        if number % 2 == 0:
            chaos.stop_listening()
        samples.append(chaos.proxy.resident_bytes())
        assert chaos.proxy.running(), "the proxy is gone"
        time.sleep(max(0, 1 - (time.monotonic() - began)))
    chaos.heal()
    return samples


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
def test_chaos_every_call_ends_rightly_and_nothing_is_left(moongate, authority, capsys):
    servers = [BackendProcess() for _ in range(3)]
    chaos = None
    try:
        chaos = Chaos(moongate, authority(), servers)
        proxy = chaos.proxy
        files = proxy.open_files()
        load = chaos_client(proxy.address, SECONDS, chaos.authority.certificate)
        samples = run(chaos, SECONDS)
        said = load.result()
        eventually(lambda: proxy.metric("moongate_downstream_streams") == 0, 20, what="no stream is left")
        eventually(lambda: proxy.metric("moongate_downstream_connections") == 0, 20, what="no connection is left")
        eventually(lambda: proxy.metric("moongate_upstream_streams") == 0, 60, what="no copy is left")
        generation = proxy.generation()
        tally = chaos.tally()
        third = len(samples) // 3
        warm, late = statistics.median(samples[third:2 * third]), statistics.median(samples[-third:])
        with capsys.disabled():
            print(f"\n{SECONDS:.0f} s: {', '.join(f'{count} {what}' for what, count in chaos.done.items())};"
                  f" {generation} generations, RSS {warm / MIB:.1f} -> {late / MIB:.1f} MiB;"
                  f" {', '.join(f'{count:.0f} {what}' for what, count in tally.items())}\n")
            print_table(said["ended"])
        assert said["wrong"] == 0, said["examples"]
        for kind, ended in said["ended"].items():
            assert ended.get("OK", 0) > 0.5 * sum(ended.values()), f"{kind}: {ended}"
        assert proxy.failed_reloads() == 0
        # A few seconds may do without one that the others did not make up for.
        missing = [what for what, count in tally.items() if not count and (what != "retries" or SECONDS >= 60)]
        assert not missing, f"something never happened: {tally}"
        # Connections to the three servers may stay, and a checker's one to each.
        eventually(lambda: proxy.open_files() <= files + 18, 20, what="descriptors are given back")
        if not SLOW and SECONDS >= 60:
            assert late <= warm + 8 * MIB, f"RSS grew from {warm / MIB:.1f} to {late / MIB:.1f} MiB"
    finally:
        if chaos:
            chaos.stop()
        for server in servers:
            server.stop()


def print_table(ended):
    statuses = sorted({status for counts in ended.values() for status in counts})
    print(f"| Calls | {' | '.join(statuses)} |\n|---|{'---|' * len(statuses)}")
    for kind, counts in ended.items():
        print(f"| {kind} | {' | '.join(str(counts.get(status, 0)) for status in statuses)} |")
