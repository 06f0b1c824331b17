"""What the process sheds, and in which order, as memory and file descriptors run short."""
import resource
import socket
import time

import grpc
import pytest

from harness.client import OpenMessages
from harness.frame_client import request
from harness.ports import refused
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually, stays_true

MIB = 1 << 20
HOLDS = "function on_request(h) if h:headers():get('x-hold') then h:body() end end"


def sheds(proxy, action):
    return proxy.metric("moongate_overload_active", action=action) == 1


class Holder:
    """Requests of 1 MiB each for whose end a policy waits."""

    def __init__(self, client):
        self.client = client
        # Begun now, as new ones are refused later on.
        self.streams = [
            client.open([*request("/helloworld.Greeter/SayHello"), ("x-hold", "1")]) for _ in range(200)]

    def grow(self, mebibytes):
        for _ in range(mebibytes):
            self.client.send_data(self.streams.pop(), bytes(range(256)) * 4096)

    def grow_until(self, condition, most=150):
        for _ in range(most):
            if condition():
                return
            self.grow(1)
            # What was sent has to come in, and the next look is up to 100 ms away.
            time.sleep(0.15)
        raise AssertionError(f"{most} MiB were not enough")


@pytest.mark.figures
def test_memory_sheds_streams_then_connections_then_those_who_hold_most(moongate, backend, client, connect):
    # One connection may not hold as much by itself.
    settings = {
        "routes": [route(policies=[{"name": "hold", "lua": HOLDS}])], "policies": {"body_limit": "4MiB"},
        "listeners": [{"name": "main", "address": "127.0.0.1:0", "limits": {"request_buffer": "1GiB"}}]}
    proxy = moongate(configuration(backend.address, **settings))
    caller = client(proxy.address).ready()
    assert caller.hello()
    messages = OpenMessages(Order())
    running = caller.probe.Bidi(iter(messages), timeout=60)
    assert next(running).backend
    web = connect(proxy.address)
    holder = Holder(connect(proxy.address))
    limit = proxy.resident_bytes() + 64 * MIB
    proxy.configure(configuration(backend.address, overload={"memory": {"limit": limit}}, **settings))
    proxy.reload()
    assert proxy.metric("moongate_overload_memory_limit_bytes") == limit
    assert caller.hello() and not refused(proxy.address)

    holder.grow(30)
    holder.grow_until(lambda: sheds(proxy, "refuse_streams"))
    error = caller.refused()
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the proxy is short of memory")
    page = web.call(request("/", method="GET", content_type=""))
    assert next(frame for frame in page if frame.type == "Headers").get(":status") == "503"
    assert proxy.metric("moongate_overload_refused_streams_total") == 2
    messages.put(Order())
    assert next(running).backend, "a stream that was there is served"

    holder.grow_until(lambda: sheds(proxy, "refuse_connections"))
    assert refused(proxy.address)
    assert proxy.metric("moongate_downstream_refused_total", limit="memory") >= 1
    messages.put(Order())
    assert next(running).backend, "a stream that was there is served"

    holder.grow_until(lambda: proxy.metric("moongate_overload_reset_streams_total") > 0)
    last = holder.client.wait_for(lambda frame: frame.type == "Headers" and frame.ends_stream, 10, "an end")
    assert last.get("grpc-status") == "14" and last.get("grpc-message") == "ended because the proxy is short of memory"
    messages.put(Order())
    assert next(running).backend, "a stream that holds nothing goes on"
    holder.client.close()
    eventually(lambda: not sheds(proxy, "refuse_streams"), 20, what="the overload is over")
    assert caller.hello() and not refused(proxy.address)
    messages.close()
    assert list(running) == []
    actions = [entry["action"] for entry in proxy.wait_entries("overload: memory", 3)]
    assert actions[:3] == ["refuse_streams", "refuse_connections", "reset_streams"]
    proxy.wait_entries("overload is over")


def limit_files(proxy, count):
    """The limit is looked at when a configuration comes into force."""
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (count, count))
    proxy.configure({**proxy.configuration, "drain": {"grace": "4s"}})
    proxy.reload()


def test_descriptors_are_kept_for_upstreams(moongate, backends, client, connect):
    one, two = backends("a", "b")
    routes = [route("b", "b", match={"headers": [{"name": "x-to", "exact": "b"}]}), route("a", "a")]
    proxy = moongate(configuration(upstreams={"a": [one.address], "b": [two.address]}, routes=routes))
    caller = client(proxy.address).ready()
    assert caller.unary().backend == "a"
    files = proxy.open_files()
    limit_files(proxy, files + 40)
    held = []
    for _ in range(60):
        attempt = socket.create_connection(tuple(proxy.address.rsplit(":", 1)), timeout=10)
        held.append(attempt)
        if attempt.recv(1) == b"":
            break
    else:
        raise AssertionError("nothing was refused")
    assert proxy.open_files() <= (files + 40) * 0.9 + 1
    assert proxy.metric("moongate_downstream_refused_total", limit="descriptors") == 1
    assert proxy.wait_entries("connections refused: too many")[0]["limit"] == "descriptors"
    assert caller.unary(metadata=[("x-to", "b")]).backend == "b", "there is a descriptor for a connection to an upstream"
    for attempt in held:
        attempt.close()
    eventually(lambda: not refused(proxy.address), 10, what="there is room again")


def test_running_out_of_descriptors_is_survived(moongate, backend, client):
    proxy = moongate(configuration(backend.address, overload={"descriptors": {"refuse_connections": 100}}))
    caller = client(proxy.address).ready()
    assert caller.hello()
    limit_files(proxy, proxy.open_files() + 10)
    held = [socket.create_connection(tuple(proxy.address.rsplit(":", 1)), timeout=10) for _ in range(30)]
    for _ in range(5):
        assert caller.hello(), "who is there is served"
    before = proxy.cpu_seconds()
    stays_true(proxy.running, 1)
    assert proxy.cpu_seconds() - before < 0.5, "accepting in vain must not spin"
    for attempt in held:
        attempt.close()
    eventually(lambda: not refused(proxy.address), 10, what="new connections")


def test_marks_have_an_order(moongate, backend):
    proxy = moongate(configuration(
        backend.address, overload={"memory": {"refuse_streams": 95, "refuse_connections": 80}}), wait=False)
    assert proxy.wait() == 2
    assert '"refuse_connections" (80) lies below "refuse_streams" (95)' in proxy.output()


def test_connections_beyond_the_rate_wait_for_their_turn(moongate, backend, client):
    proxy = moongate(configuration(backend.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "limits": {"connection_rate": 5}},
        {"name": "other", "address": "127.0.0.1:0"}]))
    attempts = [socket.create_connection(tuple(proxy.address.rsplit(":", 1)), timeout=10) for _ in range(20)]
    assert not refused(proxy.bound["other"]), "other listeners take theirs"
    accepted = proxy.metric("moongate_downstream_accepted_total", listener="main")
    assert accepted < 15, accepted
    for attempt in attempts:
        assert attempt.recv(1) != b"", "nobody is refused"
        attempt.close()
    assert proxy.metric("moongate_downstream_accept_pauses_total", listener="main") >= 1
