"""Balancing by hash and priority: who gets which request, and who after a failure."""
import collections
import contextlib
import json

import grpc

from harness.frame_client import request
from harness.ports import free_port
from harness.settings import configuration
from harness.stubs import Order
from harness.waiting import eventually

BY_HASH = ["ring_hash", "maglev"]


def hashed(servers, *sources, balance="ring_hash", **more):
    return {"main": {"endpoints": [server.address for server in servers], "balance": balance,
                     "hash_on": list(sources), **more}}


def backend_for(caller, path=None, **metadata):
    """Which backend a call with this metadata reaches."""
    pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    return caller.unary(metadata=pairs).backend


def test_header_decides_and_keeps_its_endpoint(moongate, backends, client):
    servers = backends("a", "b", "c")
    for balance in BY_HASH:
        proxy = moongate(configuration(upstreams=hashed(servers, {"header": "x-user"}, balance=balance)))
        caller = client(proxy.address)
        users = [f"user-{number}" for number in range(40)]
        first = {user: backend_for(caller, x_user=user) for user in users}
        assert set(first.values()) == {"a", "b", "c"}, f"{balance}: 40 users on one endpoint {first}"
        again = client(proxy.address)
        assert {user: backend_for(again, x_user=user) for user in users} == first


def test_workers_and_processes_agree(moongate, backends, client):
    servers = backends("a", "b", "c")
    upstreams = hashed(servers, {"header": "x-user"}, balance="maglev")
    one = moongate(configuration(upstreams=upstreams, workers=2))
    # The order of the endpoints does not matter either.
    two = moongate(configuration(upstreams=hashed(servers[::-1], {"header": "x-user"}, balance="maglev")))
    callers = [client(one.address), client(one.address), client(two.address)]
    for number in range(20):
        assert len({backend_for(caller, x_user=f"u{number}") for caller in callers}) == 1


def test_only_keys_of_a_lost_endpoint_move_and_come_back(moongate, backends, client):
    servers = backends("a", "b", "c")
    proxy = moongate(configuration(upstreams=hashed(servers, {"header": "x-user"})))
    caller = client(proxy.address)
    users = [f"user-{number}" for number in range(30)]
    before = {user: backend_for(caller, x_user=user) for user in users}
    servers[1].stop()
    eventually(lambda: _all_served(caller, users), 10)
    during = {user: backend_for(caller, x_user=user) for user in users}
    assert all(during[user] == place for user, place in before.items() if place != "b"), (before, during)
    servers[1].start()
    eventually(lambda: {user: backend_for(caller, x_user=user) for user in users} == before, 20,
               what="the keys return to the endpoint that is back")


def _all_served(caller, users):
    with contextlib.suppress(grpc.RpcError):
        return all(backend_for(caller, x_user=user) != "b" for user in users)
    return False


def test_without_the_header_any_endpoint_serves(moongate, backends, client):
    servers = backends("a", "b")
    proxy = moongate(configuration(upstreams=hashed(servers, {"header": "x-user"})))
    caller = client(proxy.address)
    assert len({caller.unary().backend for _ in range(40)}) == 2


def test_source_address_keeps_one_client_with_one_endpoint(moongate, backends, client):
    servers = backends("a", "b", "c")
    proxy = moongate(configuration(upstreams=hashed(servers, {"header": "x-user"}, {"source_address": True})))
    places = {client(proxy.address).unary().backend for _ in range(6)}
    assert len(places) == 1, "connections from one address went to several endpoints"
    caller = client(proxy.address)
    assert len({backend_for(caller, x_user=f"u{number}") for number in range(40)}) == 3, "the header comes first"


def test_cookie_is_given_and_obeyed(moongate, backends, client):
    servers = backends("a", "b", "c")
    cookie = {"cookie": {"name": "place", "ttl": "1h", "path": "/"}}
    proxy = moongate(configuration(upstreams=hashed(servers, cookie, balance="maglev")))
    caller = client(proxy.address)
    places = collections.Counter()
    for _ in range(12):
        report, call = caller.probe.Unary.with_call(Order(), timeout=10)
        [given] = [value for name, value in call.initial_metadata() if name == "set-cookie"]
        value, *attributes = given.split("; ")
        assert value.startswith("place=") and attributes == ["Max-Age=3600", "Path=/", "HttpOnly"], given
        places[report.backend] += 1
        for _ in range(3):
            again, call = caller.probe.Unary.with_call(Order(), timeout=10, metadata=[("cookie", f"x=1; {value}")])
            assert again.backend == report.backend
            assert "set-cookie" not in dict(call.initial_metadata())
    assert len(places) > 1, "every new cookie leads to the same endpoint"


def test_query_parameter_decides(moongate, backends, connect, tmp_path):
    servers = backends("a", "b", "c")
    log = tmp_path / "access.log"
    proxy = moongate(configuration(
        upstreams=hashed(servers, {"query_parameter": "user"}), access_log={"path": str(log)}))
    connection = connect(proxy.address)
    for number in range(24):
        # The backend knows no such method, but the log knows where the request went.
        connection.call(request(path=f"/moongate.test.Probe/Unary?n={number}&user={number % 8}"), body=bytes(5))
    lines = eventually(lambda: _lines(log, 24), 10)
    places = collections.defaultdict(set)
    for line in lines:
        places[line["path"].rpartition("=")[2]].add(line["endpoint"])
    assert len(places) == 8 and all(len(endpoints) == 1 for endpoints in places.values()), places
    assert len(set().union(*places.values())) > 1, places


def _lines(log, count):
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return lines if len(lines) >= count else None


def test_set_hash_key_works_with_every_balancer(moongate, backends, client):
    servers = backends("a", "b", "c")
    policy = 'function on_request(h) h:setHashKey(h:headers():get("x-key")) end'
    for balance in ["round_robin", "least_request", "random", *BY_HASH]:
        upstream = {"endpoints": [server.address for server in servers], "balance": balance}
        if balance in BY_HASH:
            upstream["hash_on"] = [{"header": "x-other"}]
        routes = [{"name": "all", "upstream": "main", "policies": [{"name": "key", "lua": policy}]}]
        proxy = moongate(configuration(upstreams={"main": upstream}, routes=routes))
        caller = client(proxy.address)
        keys = [f"key-{number}" for number in range(20)]
        first = {key: backend_for(caller, x_key=key, x_other="1") for key in keys}
        assert len(set(first.values())) == 3, (balance, first)
        assert first == {key: backend_for(caller, x_key=key, x_other="2") for key in keys}, balance


def test_random_reaches_everyone(moongate, backends, client):
    servers = backends("a", "b", "c")
    proxy = moongate(configuration(upstreams={
        "main": {"endpoints": [server.address for server in servers], "balance": "random"}}))
    caller = client(proxy.address)
    count = collections.Counter(caller.unary().backend for _ in range(150))
    assert all(count[name] > 20 for name in "abc"), count


def test_priority_fails_over_and_back(moongate, backends, client):
    servers = backends("near", "far")
    endpoints = [{"address": server.address, "priority": place} for place, server in enumerate(servers)]
    proxy = moongate(configuration(upstreams={"main": {"endpoints": endpoints}}))
    caller = client(proxy.address)
    assert {caller.unary().backend for _ in range(20)} == {"near"}
    servers[0].stop()
    eventually(lambda: _backend(caller) == "far", 10, what="the next priority serves")
    assert {_backend(caller) for _ in range(10)} == {"far"}
    servers[0].start()
    eventually(lambda: _backend(caller) == "near", 20, what="the first priority serves again")
    eventually(lambda: {caller.unary().backend for _ in range(10)} == {"near"}, 10)


def test_priority_shares_when_half_is_gone(moongate, backends, client):
    near = backends("near")
    far = backends("far")
    endpoints = [near[0].address, f"127.0.0.1:{free_port()}", {"address": far[0].address, "priority": 1}]
    proxy = moongate(configuration(upstreams={"main": {"endpoints": endpoints}}))
    caller = client(proxy.address)
    eventually(lambda: _backend(caller) and _backend(caller), 10)
    # One of two is good for 70 %.
    count = collections.Counter(_backend(caller) for _ in range(200))
    assert 105 <= count["near"] <= 175 and count["far"] >= 25, count


def _backend(caller):
    with contextlib.suppress(grpc.RpcError):
        return caller.unary(timeout=5).backend
    return None


def test_hash_changes_with_a_reload(moongate, backends, client):
    servers = backends("a", "b", "c")
    proxy = moongate(configuration(upstreams=hashed(servers, {"header": "x-one"})))
    caller = client(proxy.address)
    assert len({backend_for(caller, x_one="same", x_two=str(number)) for number in range(20)}) == 1
    proxy.configure(configuration(upstreams=hashed(servers, {"header": "x-two"}, balance="maglev")))
    proxy.wait_generation(2)
    assert len({backend_for(caller, x_one="same", x_two=str(number)) for number in range(20)}) > 1
    assert len({backend_for(caller, x_one=str(number), x_two="same") for number in range(20)}) == 1
