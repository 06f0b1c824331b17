"""Names: DNS as the edge asks it, and what becomes of connections and requests when its answers change."""
import collections
import contextlib
import time

import grpc
import pytest

from harness.backend import Backend
from harness.client import OpenMessages
from harness.dns_server import A, AAAA, NXDOMAIN, SERVFAIL, SRV, DNSServer
from harness.settings import configuration, route
from harness.stubs import HelloRequest, Order
from harness.waiting import eventually, stays_true

NAME = "greeter.test"
SERVICE = "_grpc._tcp.greeter.test"


@pytest.fixture
def dns():
    server = DNSServer()
    yield server
    server.close()


def settings(dns, *endpoints, upstream=None, **more):
    return configuration(
        upstreams={"main": {"endpoints": list(endpoints), **(upstream or {})}},
        dns={"servers": [dns.address], "timeout": "300ms", "attempts": 2}, **more)


def pair():
    """Two servers on the same port of two loopback addresses, as one name with two addresses needs."""
    one = Backend("a")
    return one, Backend("b", address=f"127.0.0.2:{one.port}")


@pytest.fixture
def two():
    servers = pair()
    yield servers
    for server in servers:
        server.stop()


def called(caller, **options):
    with contextlib.suppress(grpc.RpcError):
        return caller.unary(timeout=options.pop("timeout", 5), **options).backend
    return None


def spread(caller, count=20):
    return collections.Counter(called(caller) for _ in range(count))


def test_all_addresses_of_a_name_serve(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1", "127.0.0.2")
    proxy = moongate(settings(dns, f"{NAME}:{two[0].port}"))
    caller = client(proxy.address)
    eventually(lambda: called(caller), 10)
    assert spread(caller) == {"a": 10, "b": 10}


def test_the_time_to_live_is_obeyed_and_streams_go_on(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1", ttl=1)
    proxy = moongate(settings(dns, f"{NAME}:{two[0].port}"))
    caller = client(proxy.address)
    eventually(lambda: called(caller) == "a", 10)
    messages = OpenMessages(Order())
    stream = caller.probe.Bidi(iter(messages), timeout=60)
    assert next(stream).backend == "a"
    dns.set(NAME, "127.0.0.2", ttl=1)
    eventually(lambda: called(caller) == "b", 15, what="new requests go to the new address")
    assert spread(caller, 5) == {"b": 5}
    messages.put(Order())
    assert next(stream).backend == "a", "the stream on the address that is gone was ended"
    messages.close()
    assert list(stream) == []


def test_dns_refresh_bounds_a_long_time_to_live(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1", ttl=86400)
    proxy = moongate(settings(dns, f"{NAME}:{two[0].port}", upstream={"dns_refresh": "1s"}))
    caller = client(proxy.address)
    eventually(lambda: called(caller) == "a", 10)
    dns.set(NAME, "127.0.0.2", ttl=86400)
    eventually(lambda: called(caller) == "b", 15)


def test_a_time_to_live_of_zero_asks_no_more_than_once_a_second(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1", ttl=0)
    proxy = moongate(settings(dns, f"{NAME}:{two[0].port}", workers=2))
    eventually(lambda: called(client(proxy.address)) == "a", 10)
    before = dns.asked(NAME)
    time.sleep(3)
    assert 1 <= dns.asked(NAME) - before <= 4


def test_one_question_for_all_workers_and_upstreams(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1")
    endpoint = f"{NAME}:{two[0].port}"
    proxy = moongate(configuration(
        upstreams={"main": [endpoint], "other": [endpoint]}, workers=4,
        dns={"servers": [dns.address]}))
    for _ in range(8):
        assert called(client(proxy.address)) == "a"
    assert dns.asked(NAME, A) == 1 and dns.asked(NAME, AAAA) == 1


@pytest.mark.parametrize("trouble", ["silence", "SERVFAIL", "NXDOMAIN"])
def test_failures_keep_the_last_addresses(moongate, dns, two, client, trouble):
    dns.set(NAME, "127.0.0.1", ttl=1)
    proxy = moongate(settings(dns, f"{NAME}:{two[0].port}"))
    caller = client(proxy.address)
    eventually(lambda: called(caller) == "a", 10)
    if trouble == "silence":
        dns.silence(NAME)
    else:
        dns.fail({"SERVFAIL": SERVFAIL, "NXDOMAIN": NXDOMAIN}[trouble], NAME)
    before = dns.asked(NAME)
    eventually(lambda: dns.asked(NAME) >= before + 2, 15)
    stays_true(lambda: called(caller) == "a", 1)
    dns.set(NAME, "127.0.0.2", ttl=1)
    dns.silence()
    dns.fail()
    eventually(lambda: called(caller) == "b", 20, what="the name is asked again after failures")
    [first] = proxy.wait_entries("cannot resolve name")
    assert first["name"] == NAME and first["reason"]
    assert proxy.wait_entries("name resolves again")[0]["name"] == NAME
    assert proxy.metric("moongate_dns_questions_total", result="failure") >= 1
    assert proxy.metric("moongate_dns_questions_total", result="success") >= 2


def test_a_name_that_does_not_exist_is_asked_again_with_pauses(moongate, dns, two, client):
    proxy = moongate(settings(dns, f"{NAME}:{two[0].port}"))
    caller = client(proxy.address)
    error = caller.refused(timeout=10)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert NAME not in error.details() and "not found" in error.details().lower(), error.details()
    assert proxy.wait_entries("cannot resolve name")[0]["name"] == NAME
    for _ in range(30):
        caller.refused(timeout=10)
    assert dns.asked(NAME) <= 4, "requests must not cause questions"
    dns.set(NAME, "127.0.0.1")
    eventually(lambda: called(caller) == "a", 20)


def test_a_silent_server_holds_up_only_its_own_upstream(moongate, dns, two, backends, client):
    [other] = backends("c")
    dns.silence(NAME)
    lost = {"name": "lost", "match": {"service": "helloworld.Greeter"}, "upstream": "lost"}
    proxy = moongate(configuration(
        upstreams={"lost": [f"{NAME}:{two[0].port}"], "main": [other.address]},
        routes=[lost, route()], dns={"servers": [dns.address], "timeout": "1s", "attempts": 2}))
    caller = client(proxy.address)
    waiting = caller.greeter.SayHello.future(HelloRequest(name="x"), timeout=30)
    for _ in range(20):
        assert called(caller, timeout=2) == "c"
    assert waiting.exception(30).code() == grpc.StatusCode.UNAVAILABLE


def test_truncated_answers_are_asked_over_tcp(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1", "127.0.0.2")
    dns.truncating = True
    proxy = moongate(settings(dns, f"{NAME}:{two[0].port}"))
    eventually(lambda: called(client(proxy.address)), 10)
    assert dns.over_tcp >= 1


def test_aliases_are_followed(moongate, dns, two, client):
    dns.set_alias("alias.test", NAME, ttl=1)
    dns.set(NAME, "127.0.0.1")
    dns.set("other.test", "127.0.0.2")
    proxy = moongate(settings(dns, f"alias.test:{two[0].port}"))
    caller = client(proxy.address)
    eventually(lambda: called(caller) == "a", 10)
    # The alias lasts a second, whatever its target says.
    dns.set_alias("alias.test", "other.test", ttl=1)
    eventually(lambda: called(caller) == "b", 15)


def test_ipv6_addresses_serve(moongate, dns, client):
    server = Backend("six", address="[::1]:0")
    try:
        dns.set(NAME, "::1")
        proxy = moongate(settings(dns, f"{NAME}:{server.port}"))
        eventually(lambda: called(client(proxy.address)) == "six", 10)
    finally:
        server.stop()


def test_the_hosts_file_comes_before_dns(moongate, dns, two, client):
    dns.set("localhost", "127.0.0.2")
    proxy = moongate(settings(dns, f"localhost:{two[0].port}"))
    eventually(lambda: called(client(proxy.address)) == "a", 10)
    assert dns.asked("localhost") == 0


# SRV

def test_srv_gives_ports_weights_and_priorities(moongate, dns, backends, client):
    one, two, spare = backends("a", "b", "spare")
    dns.set("one.test", "127.0.0.1")
    dns.set("two.test", "127.0.0.1")
    dns.set_services(
        SERVICE, (10, 3, one.port, "one.test"), (10, 1, two.port, "two.test"), (20, 1, spare.port, "one.test"), ttl=1)
    proxy = moongate(settings(dns, {"dns_srv": SERVICE}))
    caller = client(proxy.address)
    eventually(lambda: called(caller), 10)
    count = spread(caller, 40)
    assert count == {"a": 30, "b": 10}, count
    one.stop()
    two.stop()
    eventually(lambda: called(caller) == "spare", 15, what="the next priority serves")
    assert dns.asked(SERVICE, SRV) >= 1


def test_srv_records_come_and_go(moongate, dns, backends, client):
    one, two = backends("a", "b")
    dns.set("one.test", "127.0.0.1")
    dns.set_services(SERVICE, (0, 0, one.port, "one.test"), ttl=1)
    proxy = moongate(settings(dns, {"dns_srv": SERVICE}))
    caller = client(proxy.address)
    eventually(lambda: called(caller) == "a", 10)
    dns.set_services(SERVICE, (0, 5, two.port, "one.test"), (0, 5, 1, "lost.test"), ttl=1)
    eventually(lambda: called(caller) == "b", 15)
    dns.set_services(SERVICE, (0, 0, 0, "."), ttl=1)
    before = dns.asked(SERVICE, SRV)
    eventually(lambda: dns.asked(SERVICE, SRV) > before, 10)
    assert called(caller) == "b", "a service that is not offered now is a failure, which keeps the last addresses"


def test_srv_that_is_missing_is_told(moongate, dns, client):
    proxy = moongate(settings(dns, {"dns_srv": SERVICE}))
    error = client(proxy.address).refused(timeout=10)
    assert error.code() == grpc.StatusCode.UNAVAILABLE and SERVICE not in error.details(), error.details()
    assert proxy.wait_entries("cannot resolve name")[0]["name"] == SERVICE


# Settings

def test_other_servers_take_over_with_a_reload(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1")
    other = DNSServer()
    try:
        other.set(NAME, "127.0.0.2")
        endpoint = f"{NAME}:{two[0].port}"
        proxy = moongate(settings(dns, endpoint))
        caller = client(proxy.address)
        eventually(lambda: called(caller) == "a", 10)
        proxy.configure(settings(other, endpoint))
        eventually(lambda: called(caller) == "b", 15)
    finally:
        other.close()


def test_names_that_are_gone_are_not_asked_any_more(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1", ttl=1)
    proxy = moongate(settings(dns, f"{NAME}:{two[0].port}"))
    eventually(lambda: called(client(proxy.address)) == "a", 10)
    proxy.configure(settings(dns, two[1].address))
    proxy.wait_generation(2)
    time.sleep(1.5)
    before = dns.asked(NAME)
    time.sleep(2.5)
    assert dns.asked(NAME) == before


def test_policies_call_names_too(moongate, dns, two, client):
    dns.set(NAME, "127.0.0.1")
    policy = """
        function on_request(handle)
          assert(moon.grpc.call("named", "/moongate.test.Probe/Unary", ""))
        end
    """
    proxy = moongate(configuration(
        two[1].address, upstreams={"named": [f"{NAME}:{two[0].port}"]},
        routes=[route(policies=[{"name": "call", "lua": policy}])], dns={"servers": [dns.address]}))
    caller = client(proxy.address)
    assert called(caller) == "b"
    assert two[0].count() == 1, "the policy's call went to the name's address"


@pytest.mark.parametrize("names, fits", [(["greeter.test"], True), (["one.greeter.test", "127.0.0.1"], False)])
def test_rfc6125_6_2_1_a_certificate_is_for_the_services_domain(moongate, dns, client, authority, names, fits):
    """Not for the host that DNS names: anybody may have written that."""
    root = authority()
    issued = root.issue("server", names)
    server = Backend("a", credentials=grpc.ssl_server_credentials([(issued.key_pem, issued.pem)]))
    try:
        dns.set_services(SERVICE, (0, 1, server.port, "one.greeter.test"))
        dns.set("one.greeter.test", "127.0.0.1")
        proxy = moongate(settings(dns, {"dns_srv": SERVICE}, upstream={"tls": {"ca": str(root.certificate)}}))
        caller = client(proxy.address)
        if fits:
            eventually(lambda: called(caller) == "a", 10)
        else:
            error = caller.refused(timeout=10)
            assert error.code() == grpc.StatusCode.UNAVAILABLE and "TLS" in error.details(), error.details()
            assert server.count() == 0
    finally:
        server.stop()
