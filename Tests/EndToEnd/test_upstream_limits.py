"""Circuit breaking: what an upstream may have under way holds for the process, whatever worker asks."""
import concurrent.futures
import threading

import pytest

from harness.backend import Backend
from harness.client import OpenMessages
from harness.settings import configuration
from harness.stubs import Order
from harness.waiting import eventually

UNAVAILABLE = 14


def limited(address, limits, workers=2, **more):
    return configuration(upstreams={"main": {"endpoints": [address], "limits": limits}}, workers=workers, **more)


def overflows(proxy, limit):
    return proxy.metric("moongate_upstream_overflows_total", upstream="main", limit=limit)


def over_workers(client, proxy, count=2):
    """Clients whose connections are on different workers: each goes to the one that has the fewest."""
    return [client(proxy.address).ready() for _ in range(count)]


def open_call(caller):
    """A stream that stays open; returns its messages and the call, once the backend has answered."""
    messages = OpenMessages(Order())
    call = caller.probe.Bidi(iter(messages), timeout=30)
    next(call)
    return messages, call


def test_max_requests_holds_for_all_workers(moongate, backend, client):
    proxy = moongate(limited(backend.address, {"max_requests": 1}))
    one, two = over_workers(client, proxy)
    messages, call = open_call(one)
    for caller in (one, two):
        error = caller.refused()
        assert error.code().value[0] == UNAVAILABLE
        assert error.details() == "upstream main: max_requests (1) reached"
    assert overflows(proxy, "max_requests") == 2
    messages.close()
    list(call)
    eventually(lambda: _works(two), what="room after the stream has ended")
    assert _works(one)


@pytest.mark.parametrize("workers", [1, 2])
def test_max_requests_never_lets_more_through(moongate, backend, client, workers):
    proxy = moongate(limited(backend.address, {"max_requests": 3}, workers=workers))
    callers = over_workers(client, proxy, 4)
    most, active, lock = [0], [0], threading.Lock()

    def call(number):
        try:
            callers[number % 4].unary(Order(delay_ms=20), timeout=20)
            return "served"
        except Exception as error:  # noqa: BLE001
            assert "max_requests (3) reached" in error.details(), error
            return "refused"

    def watch(stop):
        while not stop.is_set():
            with backend.lock:
                now = sum(1 for seen in backend.calls if not seen.done.is_set())
            with lock:
                most[0] = max(most[0], now)

    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(stop,), daemon=True)
    watcher.start()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(call, range(200)))
    stop.set()
    watcher.join()
    assert "served" in outcomes and "refused" in outcomes
    assert most[0] <= 3, most
    eventually(lambda: proxy.metric("moongate_upstream_streams", upstream="main") == 0)
    assert _works(callers[0]), "the count has not come back to 0"


def test_cancelled_and_failed_requests_give_their_place_back(moongate, backend, client):
    proxy = moongate(limited(backend.address, {"max_requests": 2}))
    [caller] = over_workers(client, proxy, 1)
    for round_ in range(5):
        calls = [caller.probe.Unary.future(Order(delay_ms=10_000), timeout=30) for _ in range(2)]
        eventually(lambda: backend.count() == 2, what=f"two calls at the backend in round {round_}")
        for call in calls:
            call.cancel()
        eventually(lambda: proxy.metric("moongate_upstream_streams", upstream="main") == 0)
        backend.forget()
    backend.stop()
    for _ in range(5):
        assert caller.refused(timeout=5).code().value[0] == UNAVAILABLE
    backend.start()
    eventually(lambda: _works(caller), 15)


def test_limit_that_comes_and_goes_with_reloads(moongate, backend, client):
    proxy = moongate(limited(backend.address, {}))
    one, two = over_workers(client, proxy)
    messages, call = open_call(one)
    proxy.configure(limited(backend.address, {"max_requests": 1}))
    proxy.reload()
    # The stream that began before is not counted; one more may run.
    eventually(lambda: _works(two))
    more, second = open_call(two)
    assert "max_requests (1) reached" in one.refused().details()
    proxy.configure(limited(backend.address, {}))
    proxy.reload()
    eventually(lambda: _works(one))
    for queue, stream in ((messages, call), (more, second)):
        queue.close()
        list(stream)
    proxy.configure(limited(backend.address, {"max_requests": 1}))
    proxy.reload()
    eventually(lambda: _works(one) and _works(two))


def test_max_pending_requests(moongate, upstream, client):
    """The upstream takes one stream at a time; further ones wait."""
    server = upstream(settings={0x3: 1})
    proxy = moongate(limited(server.address, {"max_pending_requests": 1, "max_connections": 1}, workers=1))
    caller = client(proxy.address)
    first = caller.probe.Unary.future(Order(), timeout=20)
    eventually(lambda: proxy.metric("moongate_upstream_streams", upstream="main") == 1)
    second = caller.probe.Unary.future(Order(), timeout=20)
    error = eventually(lambda: _refusal(caller, "max_pending_requests (1) reached"), what="a refusal")
    assert error.code().value[0] == UNAVAILABLE
    assert overflows(proxy, "max_pending_requests") >= 1
    first.cancel()
    second.cancel()


def test_max_connections_holds_for_all_workers(moongate, backend, client):
    proxy = moongate(limited(backend.address, {"max_connections": 1}))
    one, two = over_workers(client, proxy)
    assert _works(one)
    error = two.refused()
    assert error.code().value[0] == UNAVAILABLE
    assert error.details() == "upstream main: max_connections (1) reached"
    assert overflows(proxy, "max_connections") >= 1
    assert proxy.metric("moongate_upstream_connections", upstream="main") == 1
    assert _works(one)
    # The place is free again when the connection is gone.
    backend.stop()
    eventually(lambda: proxy.metric("moongate_upstream_connections", upstream="main") == 0)
    backend.start()
    eventually(lambda: _works(two), 15)


def test_limits_are_the_upstreams_own(moongate, client):
    servers = [Backend("a"), Backend("b")]
    try:
        proxy = moongate(configuration(
            upstreams={"main": {"endpoints": [servers[0].address], "limits": {"max_requests": 1}},
                       "other": [servers[1].address]},
            routes=[{"name": "greeter", "match": {"service": "helloworld.Greeter"}, "upstream": "other"},
                    {"name": "all", "upstream": "main"}]))
        caller = client(proxy.address)
        messages, call = open_call(caller)
        assert "max_requests" in caller.refused().details()
        assert caller.hello()
        messages.close()
        list(call)
    finally:
        for server in servers:
            server.stop()


def _works(caller):
    try:
        return caller.unary(timeout=3)
    except Exception:  # noqa: BLE001
        return None


def _refusal(caller, text):
    try:
        caller.unary(timeout=0.5)
    except Exception as error:  # noqa: BLE001
        return error if text in error.details() else None
