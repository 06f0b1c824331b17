"""Outlier detection: endpoints that answer with errors, or not at all, are taken out for a while."""
import collections
import concurrent.futures
import socket
import threading

import pytest

from harness.backend import CODES, Backend
from harness.health import endpoints, states
from harness.settings import configuration
from harness.stubs import Order
from harness.waiting import eventually, stays_true

UNAVAILABLE, NOT_FOUND, INTERNAL = 14, 5, 13


class Failing(Backend):
    """Ends every call with `code` while that is not 0."""

    code = 0

    def began(self, context, method):
        seen = super().began(context, method)
        if self.code:
            context.abort(CODES[self.code], f"{self.name} fails")
        return seen


@pytest.fixture
def pair():
    servers = [Failing("a"), Failing("b")]
    yield servers
    for server in servers:
        server.stop()


def watched(addresses, detection, workers=2, **more):
    return configuration(upstreams={"main": {
        "endpoints": list(addresses), "outlier_detection": {"base_ejection_time": "30s", **detection}, **more}},
        workers=workers)


def spread(caller, count):
    """How calls end: backends that answered, and codes of those that failed."""
    ends = collections.Counter()
    for _ in range(count):
        try:
            ends[caller.unary().backend] += 1
        except Exception as error:  # noqa: BLE001
            ends[error.code().value[0]] += 1
    return ends


def ejections(proxy, result="ejected"):
    return proxy.metric("moongate_upstream_ejections_total", upstream="main", result=result)


def test_errors_in_a_row_eject_for_all_workers(moongate, pair, client):
    one, two = pair
    two.code = UNAVAILABLE
    proxy = moongate(watched([one.address, two.address], {"consecutive_errors": 3}))
    callers = [client(proxy.address).ready() for _ in range(2)]
    ends = spread(callers[0], 12)
    assert ends[UNAVAILABLE] in (3, 4, 5), ends
    eventually(lambda: states(proxy)[two.address] == "ejected")
    for caller in callers:
        assert spread(caller, 20) == {"a": 20}
    [out] = [endpoint for endpoint in endpoints(proxy) if endpoint["state"] == "ejected"]
    assert out["reason"] == "3 errors in a row" and out["ejected_until"] and out["ejections"] == 1
    assert ejections(proxy) == 1
    proxy.wait_entries("endpoint ejected")


def test_errors_on_several_workers_add_up(moongate, pair, client):
    """Neither worker sees enough of them by itself."""
    one, two = pair
    two.code = UNAVAILABLE
    proxy = moongate(watched([two.address], {"consecutive_errors": 6}, panic_threshold=50))
    callers = [client(proxy.address).ready() for _ in range(2)]
    for caller in callers:
        spread(caller, 3)
    eventually(lambda: states(proxy)[two.address] == "ejected")


def test_successes_in_between_keep_the_endpoint(moongate, pair, client):
    one, _ = pair
    proxy = moongate(watched([one.address], {"consecutive_errors": 2}))
    caller = client(proxy.address)
    for _ in range(6):
        one.code = UNAVAILABLE
        spread(caller, 1)
        one.code = 0
        assert spread(caller, 1) == {"a": 1}
    assert states(proxy)[one.address] == "healthy" and ejections(proxy) == 0


def test_statuses_outside_of_the_list_do_not_count(moongate, pair, client):
    one, _ = pair
    one.code = NOT_FOUND
    proxy = moongate(watched([one.address], {"consecutive_errors": 2}))
    spread(client(proxy.address), 8)
    assert states(proxy)[one.address] == "healthy"


def test_list_of_statuses_is_configurable(moongate, pair, client):
    one, two = pair
    one.code = NOT_FOUND
    two.code = INTERNAL
    proxy = moongate(watched(
        [one.address, two.address], {"consecutive_errors": 2, "error_statuses": ["not_found"]}))
    spread(client(proxy.address), 12)
    eventually(lambda: states(proxy) == {one.address: "ejected", two.address: "healthy"})


def test_ejection_ends_and_the_next_one_is_longer(moongate, pair, client):
    one, two = pair
    two.code = UNAVAILABLE
    proxy = moongate(watched(
        [one.address, two.address], {"consecutive_errors": 2, "base_ejection_time": "300ms", "interval": "60s"}))
    caller = client(proxy.address)

    def eject():
        spread(caller, 4)
        return states(proxy)[two.address] == "ejected"


    for _ in range(3):
        eventually(eject, 10)
        eventually(lambda: states(proxy)[two.address] == "healthy", 10)
    times = [entry["milliseconds"] for entry in proxy.wait_entries("endpoint ejected", 3)]
    assert times[:3] == [300, 600, 900], times
    two.code = 0
    eventually(lambda: states(proxy)[two.address] == "healthy", 10)
    eventually(lambda: spread(caller, 4)["b"], 10)


def test_only_so_many_are_ejected(moongate, pair, client):
    for server in pair:
        server.code = UNAVAILABLE
    proxy = moongate(watched([server.address for server in pair], {"consecutive_errors": 2}))
    caller = client(proxy.address)
    eventually(lambda: spread(caller, 8) and ejections(proxy) == 1)
    eventually(lambda: spread(caller, 8) and ejections(proxy, "refused") >= 1)
    assert sorted(states(proxy).values()) == ["ejected", "healthy"]


def test_nothing_is_ejected_where_the_percentage_is_zero(moongate, pair, client):
    pair[0].code = UNAVAILABLE
    proxy = moongate(watched([pair[0].address], {"consecutive_errors": 1, "max_ejection_percent": 0}))
    spread(client(proxy.address), 5)
    eventually(lambda: ejections(proxy, "refused") >= 1)
    assert states(proxy)[pair[0].address] == "healthy"


def test_only_endpoint_goes_on_in_panic(moongate, pair, client):
    one, _ = pair
    one.code = UNAVAILABLE
    proxy = moongate(watched([one.address], {"consecutive_errors": 2}))
    caller = client(proxy.address)
    spread(caller, 4)
    eventually(lambda: states(proxy)[one.address] == "ejected")
    one.code = 0
    assert spread(caller, 5) == {"a": 5}


def test_without_panic_the_message_tells_of_the_ejection(moongate, pair, client):
    one, _ = pair
    one.code = UNAVAILABLE
    proxy = moongate(watched([one.address], {"consecutive_errors": 2}, panic_threshold=0))
    caller = client(proxy.address)
    spread(caller, 4)
    eventually(lambda: states(proxy)[one.address] == "ejected")
    assert "ejected: 2 errors in a row" in caller.refused().details()


def test_resets_in_a_row_eject(moongate, upstream, pair, client):
    def reset(connection, head):
        connection.reset(head.stream, 2)

    server = upstream(reset)
    proxy = moongate(watched([pair[0].address, server.address], {"consecutive_local_errors": 3}))
    caller = client(proxy.address)
    spread(caller, 12)
    eventually(lambda: states(proxy)[server.address] == "ejected")
    assert endpoints_reason(proxy, server.address) == "3 attempts in a row without a response"
    assert spread(caller, 10) == {"a": 10}


def test_lost_connections_in_a_row_eject(moongate, pair, client):
    """An endpoint that takes connections and drops them with the first request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        stop = threading.Event()

        def serve():
            while not stop.is_set():
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                taken.recv(1)
                taken.close()

        threading.Thread(target=serve, daemon=True).start()
        proxy = moongate(watched([pair[0].address, address], {"consecutive_local_errors": 3}))
        caller = client(proxy.address)
        eventually(lambda: spread(caller, 4) and states(proxy)[address] == "ejected", 10)
        assert spread(caller, 10) == {"a": 10}
        stop.set()


def test_timeouts_of_the_route_count_and_those_of_clients_do_not(moongate, upstream, client):
    # It never answers. A server of grpcio knows the deadline, too, and ends the call now and then before the edge does.
    silent = upstream()
    settings = watched([silent.address], {"consecutive_local_errors": 2}, workers=1)
    proxy = moongate(settings)
    caller = client(proxy.address)
    for _ in range(4):
        assert caller.refused(timeout=0.2).code().value[0] == 4
    assert states(proxy)[silent.address] == "healthy"
    settings["routes"][0]["timeout"] = "200ms"
    proxy.configure(settings)
    proxy.reload()
    for _ in range(3):
        assert caller.refused(timeout=10).details().startswith("deadline exceeded: timeout of route")
    eventually(lambda: states(proxy)[silent.address] == "ejected")


def test_clients_that_leave_say_nothing(moongate, pair, client):
    one, _ = pair
    proxy = moongate(watched([one.address], {"consecutive_local_errors": 2, "consecutive_errors": 2}))
    caller = client(proxy.address)
    for _ in range(5):
        call = caller.probe.Unary.future(Order(delay_ms=5000), timeout=10)
        before = one.count()
        eventually(lambda: one.count() > before or one.count() >= 1)
        call.cancel()
    assert states(proxy)[one.address] == "healthy"


def test_removing_the_setting_ends_ejections(moongate, pair, client):
    one, two = pair
    two.code = UNAVAILABLE
    proxy = moongate(watched([one.address, two.address], {"consecutive_errors": 2}))
    spread(client(proxy.address), 8)
    eventually(lambda: states(proxy)[two.address] == "ejected")
    proxy.configure(configuration(upstreams={"main": [one.address, two.address]}, workers=2))
    proxy.reload()
    eventually(lambda: set(states(proxy).values()) == {"healthy"})
    stays_true(lambda: ejections(proxy) == 1, 0.2)


def test_ejection_under_load(moongate, pair, client):
    one, two = pair
    two.code = UNAVAILABLE
    proxy = moongate(watched([one.address, two.address], {"consecutive_errors": 5}))
    callers = [client(proxy.address).ready() for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        total = sum(pool.map(lambda number: spread(callers[number % 4], 25), range(16)), collections.Counter())
    assert total["a"] > 300, total
    assert states(proxy)[two.address] == "ejected"


def endpoints_reason(proxy, address):
    return next(endpoint["reason"] for endpoint in endpoints(proxy) if endpoint["address"] == address)
