"""The policies that ship, with real calls."""
import collections

import grpc
import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.stubs import Order


@pytest.fixture
def echoing(moongate, upstream, connect):
    """Starts a proxy with policies before an upstream that shows each request's head; gives a function that asks."""
    def start(*references, **more):
        proxy = moongate(configuration(upstream(answer_ok).address, routes=[route(policies=list(references))], **more))
        client = connect(proxy.address)
        return proxy, lambda **fields: client.call(request(**fields))[0]

    return start


@pytest.mark.parametrize("authority, bare", [
    ("test.example:50051", "test.example"), ("test.example", "test.example"), ("[::1]:50051", "[::1]"),
    ("[::1]", "[::1]"), ("10.0.0.1:80", "10.0.0.1"), ("test.example:", "test.example"),
])
def test_strip_port(echoing, authority, bare):
    _, ask = echoing("strip-port")
    assert ask(authority=authority).get("x-seen-authority") == bare


def test_strip_port_only_if_equal_to_the_listeners(echoing):
    proxy, ask = echoing({"strip-port": {"only_listener_port": True}})
    assert ask(authority="test.example:1").get("x-seen-authority") == "test.example:1"
    assert ask(authority=f"test.example:{proxy.port}").get("x-seen-authority") == "test.example"


def test_headers(echoing):
    _, ask = echoing({"headers": {
        "request": {"remove": ["X-Gone"], "set": {"x-set": "new", "X-Fresh": "f"}, "add": {"x-add": ["2", "3"]}},
        "response": {"set": {"x-out": "out"}, "remove": ["x-seen-method"]}}})
    head = ask(extra=[("x-gone", "1"), ("x-set", "old"), ("x-add", "1"), ("x-kept", "k")])
    assert head.get("x-seen-x-gone") is None
    assert head.all("x-seen-x-set") == ["new"] and head.get("x-seen-x-fresh") == "f"
    assert head.all("x-seen-x-add") == ["1", "2", "3"]
    assert head.get("x-seen-x-kept") == "k"
    assert head.get("x-out") == "out" and head.get("x-seen-method") is None


def test_G8_headers_with_grpcio(moongate, backend, client):
    policy = {"headers": {"request": {"set": {"x-set": "s"}}, "response": {"add": {"x-added": "a"}}}}
    proxy = moongate(configuration(backend.address, routes=[route(policies=[policy])]))
    report, call = client(proxy.address).probe.Unary.with_call(Order(), metadata=[("x-set", "old")], timeout=5)
    assert seen_metadata(report)["x-set"] == [b"s"]
    assert ("x-added", "a") in call.initial_metadata()


@pytest.fixture
def canary(moongate, backends, client):
    def start(**settings):
        stable, fresh = backends("stable", "canary")
        proxy = moongate(configuration(
            upstreams={"stable": [stable.address], "canary": [fresh.address]},
            routes=[route("stable", policies=[{"canary": {"upstream": "canary", **settings}}])]))
        return client(proxy.address)

    return start


def test_canary_by_header(canary):
    caller = canary(header="env", value="canary")
    assert caller.unary().backend == "stable"
    assert caller.unary(metadata=[("env", "canary")]).backend == "canary"
    assert caller.unary(metadata=[("env", "other")]).backend == "stable"


def test_canary_by_weight(canary):
    caller = canary(weight=30)
    count = collections.Counter(caller.unary().backend for _ in range(400))
    assert 0.22 <= count["canary"] / 400 <= 0.38, count


def test_canary_sticks_to_a_header(canary):
    caller = canary(weight=50, sticky="x-user")
    chosen = {user: caller.unary(metadata=[("x-user", f"u{user}")]).backend for user in range(60)}
    assert set(chosen.values()) == {"stable", "canary"}
    for user, backend in chosen.items():
        assert caller.unary(metadata=[("x-user", f"u{user}")]).backend == backend


@pytest.mark.parametrize("settings, allowed", [
    ({"allow": ["127.0.0.0/8"]}, True), ({"allow": ["10.0.0.0/8"]}, False), ({"deny": ["127.0.0.1"]}, False),
    ({"deny": ["10.0.0.0/8"]}, True), ({"allow": [{"cidr": "127.0.0.0/8", "except": ["127.0.0.1"]}]}, False),
    ({"deny": [{"cidr": "127.0.0.0/8", "except": ["127.0.0.1/32"]}]}, True),
])
def test_ip_access(moongate, backend, client, settings, allowed):
    proxy = moongate(configuration(backend.address, routes=[route(policies=[{"ip-access": settings}])]))
    caller = client(proxy.address)
    if allowed:
        assert caller.hello()
    else:
        assert caller.refused().code() is grpc.StatusCode.PERMISSION_DENIED


def test_ip_access_over_ipv6(moongate, backend, client):
    listeners = [{"name": "six", "address": "[::1]:0"}]
    proxy = moongate(configuration(
        backend.address, listeners=listeners, routes=[route(policies=[{"ip-access": {"deny": ["::1"]}}])]))
    error = client(f"ipv6:{proxy.address}", authority="test.example").refused()
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("reference", [
    {"strip-port": {"only_listner_port": True}}, {"headers": {"request": {"sett": {}}}}, {"canary": {"weight": 5}},
    {"ip-access": {"allow": ["not-an-address"]}}, {"canary": {"upstream": "main", "weight": 101}},
    "no-such-policy",
])
def test_mistakes_in_settings_are_refused_at_start(moongate, backend, reference):
    proxy = moongate(configuration(backend.address, routes=[route(policies=[reference])]), wait=False)
    assert proxy.wait() == 2
    name = reference if isinstance(reference, str) else next(iter(reference))
    assert name in proxy.output()
