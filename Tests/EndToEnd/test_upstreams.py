"""Balancing, weights, endpoints that are dead, come back, or have no address."""
import collections
import socket
import threading
import time

import pytest

from harness.backend import Backend
from harness.ports import free_port, unused_port
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

LOST = {"name": "lost", "match": {"service": "helloworld.Greeter"}, "upstream": "lost"}


def spread(caller, count):
    return collections.Counter(caller.unary().backend for _ in range(count))


def test_round_robin_takes_endpoints_in_turn(moongate, backends, client):
    servers = backends("a", "b", "c")
    proxy = moongate(configuration(upstreams={"main": [server.address for server in servers]}))
    caller = client(proxy.address)
    spread(caller, 3)
    assert spread(caller, 60) == {"a": 20, "b": 20, "c": 20}


def test_round_robin_follows_endpoint_weights(moongate, backends, client):
    one, two = backends("a", "b")
    endpoints = [{"address": one.address, "weight": 3}, {"address": two.address, "weight": 1}]
    proxy = moongate(configuration(upstreams={"main": {"endpoints": endpoints}}))
    count = spread(client(proxy.address), 80)
    assert count["a"] in range(57, 64) and count["b"] in range(17, 24), count


def test_least_request_avoids_the_busy_endpoint(moongate, backends, client):
    one, two = backends("a", "b")
    proxy = moongate(configuration(upstreams={
        "main": {"endpoints": [one.address, two.address], "balance": "least_request"}}))
    caller = client(proxy.address)
    slow = [caller.probe.Unary.future(Order(delay_ms=4000), timeout=20) for _ in range(10)]
    eventually(lambda: one.count() + two.count() == 10)
    busy = collections.Counter({"a": one.count(), "b": two.count()})
    assert min(busy.values()) >= 3, f"10 calls at once were spread {busy}"
    idle = [caller.unary().backend for _ in range(40)]
    assert len(idle) == 40
    for call in slow:
        call.cancel()


@pytest.mark.slow
def test_G6_weights_70_30_0(moongate, backends, client):
    servers = dict(zip("abc", backends("a", "b", "c")))
    weights = [{"name": "a", "weight": 70}, {"name": "b", "weight": 30}, {"name": "c", "weight": 0}]
    proxy = moongate(configuration(
        upstreams={name: [server.address] for name, server in servers.items()},
        routes=[{"name": "all", "upstreams": weights}]))
    count = spread(client(proxy.address), 500)
    assert abs(count["a"] / 500 - 0.70) <= 0.05 and abs(count["b"] / 500 - 0.30) <= 0.05 and count["c"] == 0, count


def test_S7_dead_upstream_is_unavailable_with_the_reason(moongate, client):
    proxy = moongate(configuration(f"127.0.0.1:{unused_port()}"))
    error = client(proxy.address).refused()
    assert error.code().value[0] == 14
    assert "refused" in error.details().lower(), error.details()


def test_dead_upstream_is_used_when_it_comes_up(moongate, client):
    port = free_port()
    proxy = moongate(configuration(f"127.0.0.1:{port}"))
    caller = client(proxy.address)
    assert caller.refused().code().value[0] == 14
    server = Backend(address=f"127.0.0.1:{port}")
    try:
        began = time.monotonic()
        eventually(lambda: _works(caller), 10, what="a call that goes through")
        assert time.monotonic() - began < 5
    finally:
        server.stop()


def _works(caller):
    try:
        return caller.hello(timeout=2)
    except Exception:  # noqa: BLE001
        return None


def test_C5_one_dead_endpoint_of_two_stops_nobody_for_long(moongate, backends, client):
    one, two = backends("a", "b")
    proxy = moongate(configuration(upstreams={"main": [one.address, two.address]}))
    caller = client(proxy.address)
    assert set(spread(caller, 4)) == {"a", "b"}
    two.stop()
    eventually(lambda: _works(caller), 5)
    time.sleep(0.5)
    served = [bool(_works(caller)) for _ in range(40)]
    assert sum(served) >= 36, f"{served.count(False)} of 40 calls failed with one endpoint of two alive"
    two.start()
    eventually(lambda: spread(caller, 4)["b"] > 0, 10, what="the endpoint is used again")


def test_name_that_does_not_resolve_is_unavailable_and_no_configuration_fault(moongate, backends, client):
    [server] = backends("a")
    proxy = moongate(configuration(
        upstreams={"lost": ["no-such-host.invalid:50051"], "good": [server.address]},
        routes=[LOST, route("good", "good")]))
    caller = client(proxy.address)
    began = time.monotonic()
    try:
        caller.hello(timeout=20)
        raise AssertionError("the call went through")
    except Exception as error:  # noqa: BLE001
        assert error.code().value[0] == 14, error
        assert "no-such-host.invalid" not in error.details() and "resolve" in error.details()
    assert time.monotonic() - began < 15
    assert caller.unary().backend == "a"


def test_resolving_blocks_no_worker(moongate, backends, client):
    [server] = backends("a")
    proxy = moongate(configuration(
        upstreams={"lost": [f"no-such-host-{n}.invalid:1" for n in range(10)], "good": [server.address]},
        routes=[LOST, route("good", "good")]))
    caller = client(proxy.address)
    lost = threading.Thread(target=lambda: _works(caller), daemon=True)
    lost.start()
    began = time.monotonic()
    for _ in range(20):
        caller.unary(timeout=2)
    assert time.monotonic() - began < 2


def test_host_name_is_resolved(moongate, backends, client):
    [server] = backends("a")
    proxy = moongate(configuration(f"localhost:{server.port}"))
    caller = client(proxy.address)
    eventually(lambda: _works(caller), 5)
    assert [caller.hello() for _ in range(5)]


def test_ipv6_endpoint(moongate, backends, client):
    [server] = backends("six", address="[::1]:0")
    proxy = moongate(configuration(server.address))
    assert client(proxy.address).unary().backend == "six"


def test_ipv6_listener(moongate, backend, client):
    proxy = moongate(configuration(backend.address, listeners=[{"name": "six", "address": "[::1]:0"}]))
    assert proxy.address.startswith("[::1]:")
    assert client(f"ipv6:{proxy.address}", authority="test.example").hello()


def test_upstream_that_accepts_but_never_speaks_meets_the_deadline(moongate, client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = moongate(configuration(f"127.0.0.1:{silent.getsockname()[1]}"))
        began = time.monotonic()
        error = client(proxy.address).refused(timeout=0.5)
        assert error.code().value[0] in (4, 14)
        assert time.monotonic() - began < 2


def test_connect_timeout_is_unavailable(moongate, client):
    """A full accept queue lets no further connection through."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    time.sleep(0.2)
    try:
        proxy = moongate(configuration(upstreams={
            "main": {"endpoints": [f"127.0.0.1:{port}"], "connect_timeout": "300ms"}}))
        began = time.monotonic()
        error = client(proxy.address).refused(timeout=10)
        assert error.code().value[0] == 14
        assert time.monotonic() - began < 3
    finally:
        for filler in fillers:
            filler.close()
        listener.close()
