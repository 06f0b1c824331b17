"""One event loop per worker; connections go to the one with the fewest."""
import collections
import resource

import pytest

from harness.client import Client
from harness.settings import configuration, route
from harness.waiting import eventually


def spread(proxy):
    """Open connections by worker."""
    return collections.Counter({
        sample.labels["worker"]: int(sample.value) for sample in proxy.samples()
        if sample.name == "moongate_downstream_connections"})


@pytest.mark.parametrize("trial", range(5))
def test_four_connections_on_two_workers_are_two_and_two(moongate, backend, client, trial):
    proxy = moongate(configuration(backend.address, workers=2))
    callers = [client(proxy.address) for _ in range(4)]
    for caller in callers:
        caller.hello()
    assert sorted(spread(proxy).values()) == [2, 2]


def test_connections_that_end_make_room(moongate, backend, client):
    proxy = moongate(configuration(backend.address, workers=2))
    callers = [client(proxy.address) for _ in range(4)]
    for caller in callers:
        caller.hello()
    for caller in callers[:2]:
        caller.close()
    eventually(lambda: sum(spread(proxy).values()) == 2)
    for caller in [client(proxy.address) for _ in range(2)]:
        caller.hello()
    assert sorted(spread(proxy).values()) == [2, 2]


def test_connections_of_several_listeners_are_counted_together(moongate, backend, client):
    listeners = [{"name": name, "address": "127.0.0.1:0"} for name in ("a", "b")]
    proxy = moongate(configuration(backend.address, workers=2, listeners=listeners))
    for address in list(proxy.bound.values()) * 2:
        client(address).hello()
    workers = collections.Counter()
    for sample in proxy.samples():
        if sample.name == "moongate_downstream_connections":
            workers[sample.labels["worker"]] += int(sample.value)
    assert sorted(workers.values()) == [2, 2]


def test_number_of_workers_is_as_configured(moongate, backend):
    for number in (1, 3):
        proxy = moongate(configuration(backend.address, workers=number))
        assert proxy.metric("moongate_workers") == number


def test_every_worker_serves_calls_and_runs_policies(moongate, backend):
    proxy = moongate(
        configuration(backend.address, workers=2, routes=[route(policies=[{"policy": "policies/w.lua"}])]),
        policies={"w.lua": 'n = 0\nfunction on_request(h) n = n + 1 h:headers():add("x-n", n) end'})
    callers = [Client(proxy.address) for _ in range(2)]
    for caller in callers:
        values = [pair.value for _ in range(3) for pair in caller.unary().metadata if pair.key == "x-n"]
        assert values == [b"1", b"2", b"3"], "each worker has a VM of its own"
        # The connection stays open, so that the next one goes to the other worker.
    for caller in callers:
        caller.close()


def test_second_instance_on_the_same_address_fails(moongate, backend, client):
    proxy = moongate(configuration(backend.address))
    listeners = [{"name": "main", "address": proxy.address}]
    second = moongate(configuration(backend.address, listeners=listeners), wait=False)
    assert second.wait(10) != 0
    assert proxy.address in second.output() or str(proxy.port) in second.output()
    assert client(proxy.address).hello()


def test_soft_file_limit_is_raised_to_the_hard_one(moongate, backend):
    proxy = moongate(configuration(backend.address))
    soft, hard = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_two_hundred_connections(moongate, backend, connect):
    from harness.frame_client import request
    proxy = moongate(configuration(backend.address, workers=2))
    clients = [connect(proxy.address) for _ in range(200)]
    head = request(path="/helloworld.Greeter/SayHello")
    streams = [client.open(head) for client in clients]
    for client, stream in zip(clients, streams, strict=True):
        client.send_data(stream, b"\0\0\0\0\0", end_stream=True)
    for client, stream in zip(clients, streams, strict=True):
        assert client.end(stream, 10).get("grpc-status") == "0"
    counts = spread(proxy)
    assert abs(counts["0"] - counts["1"]) <= 2
    for client in clients:
        client.close()
    eventually(lambda: sum(spread(proxy).values()) == 0, 5)
