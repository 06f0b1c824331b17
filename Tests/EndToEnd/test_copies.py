"""What copies of requests hold, for mirrors and for further attempts: one account for the process (`limits.copy_buffer`), which
never costs the requests themselves anything."""
import threading

import pytest

from harness.frame_client import request
from harness.frame_upstream import RESPONSE, answer_ok
from harness.frames import CANCEL, REFUSED_STREAM, message
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually, stays_true

MIB = 1 << 20
RESERVES = 3 * 32 * 1024                  # of one worker
HOLD = "/moongate.test.Probe/Hold"
CALL = "/moongate.test.Probe/Unary"


def held(proxy, use):
    return proxy.metric("moongate_copy_buffer_bytes", use=use)


def refused(proxy, use):
    return proxy.metric("moongate_copy_buffer_refused_total", use=use)


def dropped(proxy, reason, upstream="shadow"):
    return proxy.metric("moongate_mirror_dropped_total", upstream=upstream, reason=reason)


@pytest.fixture
def mirrored(moongate, backend, upstream):
    """Starts a proxy whose mirror takes nothing."""
    def start(buffer="4MiB", mirrors=("shadow",), **more):
        deaf = upstream(refill=False, window=0)
        return moongate(configuration(
            backend.address, upstreams={name: [deaf.address] for name in mirrors}, limits={"copy_buffer": buffer},
            routes=[route(mirror=[{"upstream": name} for name in mirrors])], **more))

    return start


# Mirrors


@pytest.mark.figures
def test_a_mirror_that_takes_nothing_takes_no_more_memory_than_it_may(mirrored, client):
    proxy = mirrored()
    caller = client(proxy.address).ready()
    assert caller.unary(Order(payload=bytes(900_000))).received_bytes == 900_000
    before = proxy.resident_bytes()
    for _ in range(60):
        assert caller.unary(Order(payload=bytes(900_000)), timeout=10).received_bytes == 900_000
    # Half of the account is for mirrors.
    assert held(proxy, "mirrors") <= 2 * MIB
    assert proxy.resident_bytes() - before < 16 * MIB
    assert dropped(proxy, "memory") >= 55
    assert refused(proxy, "mirrors") >= 55
    assert proxy.metric("moongate_copy_buffer_limit_bytes") == 4 * MIB
    assert proxy.metric("moongate_mirror_requests_total", upstream="shadow") == 61


@pytest.mark.figures
def test_small_copies_are_bounded_as_well(moongate, upstream, connect):
    """What a copy itself takes counts: one waits for its answer for 30 s."""
    silent, server = upstream(lambda connection, head: None), upstream(answer_ok)
    proxy = moongate(configuration(
        server.address, upstreams={"shadow": [silent.address]}, limits={"copy_buffer": "2MiB"},
        routes=[route(mirror=[{"upstream": "shadow"}])]))
    caller = connect(proxy.address)
    for _ in range(30):
        streams = [caller.open(request(CALL), end_stream=True) for _ in range(100)]
        for stream in streams:
            assert caller.end(stream, timeout=10).get("grpc-status") == "0"
        caller.frames.clear()
    assert proxy.metric("moongate_mirror_requests_total", upstream="shadow") == 3000
    assert dropped(proxy, "memory") > 1500
    assert held(proxy, "mirrors") <= MIB


def test_what_mirrors_have_taken_comes_back(moongate, backend, upstream, client):
    answers = threading.Event()

    def late(connection, head):
        if answers.wait(20):
            connection.respond(head.stream)

    mirror = upstream(late)
    proxy = moongate(configuration(
        backend.address, upstreams={"shadow": [mirror.address]}, limits={"copy_buffer": "1MiB"},
        routes=[route(mirror=[{"upstream": "shadow"}])]))
    caller = client(proxy.address)
    while not dropped(proxy, "memory"):
        caller.unary(Order(payload=bytes(1000)))
    answers.set()
    eventually(lambda: held(proxy, "mirrors") <= RESERVES, 10, what="the account is free again")
    before = dropped(proxy, "memory")
    assert caller.unary(Order(payload=bytes(1000))).received_bytes == 1000
    assert dropped(proxy, "memory") == before


def test_copies_of_streams_that_were_given_up_hold_nothing(mirrored, client):
    proxy = mirrored("1MiB")
    call = client(proxy.address).probe.ClientStream((Order(payload=bytes(100_000)) for _ in range(40)), timeout=30)
    assert call.received_bytes == 4_000_000
    assert dropped(proxy, "memory") == 1
    eventually(lambda: held(proxy, "mirrors") <= RESERVES, 5)


def test_several_mirrors_share_the_account(mirrored, client):
    proxy = mirrored("4MiB", mirrors=("shadow", "other"))
    caller = client(proxy.address)
    for _ in range(10):
        assert caller.unary(Order(payload=bytes(900_000)), timeout=10).received_bytes == 900_000
    assert held(proxy, "mirrors") <= 2 * MIB
    assert dropped(proxy, "memory") + dropped(proxy, "memory", "other") >= 16


def test_the_limit_can_be_changed(mirrored, client):
    proxy = mirrored("1MiB")
    caller = client(proxy.address)
    caller.unary(Order(payload=bytes(900_000)))
    assert dropped(proxy, "memory") == 1
    proxy.configure({**proxy.configuration, "limits": {"copy_buffer": "8MiB"}})
    proxy.reload()
    caller.unary(Order(payload=bytes(900_000)))
    assert dropped(proxy, "memory") == 1
    assert held(proxy, "mirrors") > 800_000


@pytest.mark.figures
def test_copies_go_before_any_request_is_refused(mirrored, client):
    """Memory beyond the mark from which on requests are refused: copies hold enough of it."""
    proxy = mirrored("128MiB", overload={"memory": {"limit": "100GiB"}})
    caller = client(proxy.address).ready()
    while held(proxy, "mirrors") < 60 * MIB and not dropped(proxy, "memory"):
        caller.unary(Order(payload=bytes(900_000)), timeout=10)
    proxy.configure({**proxy.configuration, "overload": {"memory": {"limit": int(proxy.resident_bytes() / 0.9)}}})
    proxy.reload()
    for _ in range(100):
        assert caller.hello()
    eventually(lambda: dropped(proxy, "overload") > 40, 5, what="copies have gone")
    assert held(proxy, "mirrors") < MIB, "those of the calls since"
    stays_true(caller.hello, 1)
    assert proxy.metric("moongate_overload_refused_streams_total") == 0
    assert proxy.metric("moongate_overload_reset_streams_total") == 0
    [entry] = proxy.wait_entries("memory is short: copies for mirrors and for further attempts end")
    assert entry["action"] == "drop_copies"
    assert not [entry for entry in proxy.log_entries() if entry["message"] == "overload: memory"]


# Further attempts


@pytest.fixture
def filled(moongate, upstream, connect):
    """Fills what requests may take of the account with what twelve have sent and may have to send again; gives the proxy, a client for
    others, the upstream, and what ends those requests."""
    def start(**settings):
        server = upstream()
        proxy = moongate(configuration(
            server.address, limits={"copy_buffer": "1MiB"}, routes=[route(**settings)]))
        holder = connect(proxy.address)
        for _ in range(12):
            stream = holder.open(request(HOLD))
            holder.send_allowed(stream, message(bytes(62_000)))
            connection, head = server.next_request()
            eventually(lambda: sum(len(f.data) for f in connection.of_stream(head.stream)) >= 62_005)
        eventually(lambda: refused(proxy, "attempts") == 1, what="the last one found no room")
        return proxy, connect(proxy.address), server, holder

    return start


def send(client, body):
    stream = client.open(request(CALL))
    client.send_data(stream, body, end_stream=True)
    return stream


def test_where_there_is_no_room_a_call_is_sent_once_and_nothing_else(filled):
    proxy, client, server, holder = filled(hedge={"methods": ["*/Unary"], "delay": "100ms"})
    stream = send(client, message(bytes(40_000)))
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    stays_true(lambda: not any(each.untaken() for each in server.connections), 0.4)
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    assert refused(proxy, "attempts") >= 2
    # The next call has room again.
    holder.close()
    eventually(lambda: held(proxy, "attempts") <= RESERVES, 5)
    stream = send(client, message(bytes(40_000)))
    server.next_request()
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    eventually(lambda: held(proxy, "attempts") <= RESERVES, 5)


def test_a_small_refused_call_is_sent_again_whatever_others_keep(filled):
    proxy, client, server, holder = filled()
    stream = send(client, message(bytes(4000)))
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    connection.reset(head.stream, REFUSED_STREAM)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


@pytest.mark.parametrize("full", [True, False])
def test_a_refused_stream_is_sent_again_where_it_was_kept(filled, full):
    proxy, client, server, holder = filled()
    if not full:
        holder.close()
        eventually(lambda: held(proxy, "attempts") <= RESERVES, 5)
    stream = send(client, message(bytes(60_000)))
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    connection.reset(head.stream, REFUSED_STREAM)
    if not full:
        connection, head = server.next_request()
        connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == ("14" if full else "0")


@pytest.mark.figures
def test_what_is_kept_goes_before_any_request_is_refused(moongate, upstream, connect):
    server = upstream()
    settings = {
        "routes": [route(retry={"on": ["reset"], "max_attempts": 2, "buffer": "1MiB"})], "limits": {"copy_buffer": "128MiB"},
        "listeners": [{"name": "main", "address": "127.0.0.1:0", "limits": {"request_buffer": "1GiB"}}]}
    proxy = moongate(configuration(server.address, overload={"memory": {"limit": "100GiB"}}, **settings))
    client = connect(proxy.address)
    calls = []
    for _ in range(60):
        stream = client.open(request(CALL))
        client.send_allowed(stream, message(bytes(1_000_000)))
        calls.append((stream, *server.next_request()))
    eventually(lambda: held(proxy, "attempts") > 55 * MIB, 10)
    proxy.configure({**proxy.configuration, "overload": {"memory": {"limit": int(proxy.resident_bytes() / 0.9)}}})
    proxy.reload()
    eventually(lambda: held(proxy, "attempts") <= RESERVES, 5)
    for stream, connection, head in calls:
        client.send_data(stream, b"", end_stream=True)
        connection.wait_end(head.stream)
        connection.respond(head.stream)
        assert client.end(stream).get("grpc-status") == "0"
    other = connect(proxy.address)
    stream = other.open(request(CALL), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert other.end(stream).get("grpc-status") == "0"
    assert proxy.metric("moongate_overload_refused_streams_total") == 0
    assert proxy.metric("moongate_overload_reset_streams_total") == 0


def test_what_was_kept_goes_when_the_response_begins(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, limits={"copy_buffer": "1MiB"}))
    client = connect(proxy.address)
    for _ in range(40):
        stream = client.open(request(CALL))
        client.send_allowed(stream, message(bytes(60_000)))
        connection, head = server.next_request()
        connection.send_headers(head.stream, RESPONSE)
        client.expect("Headers", stream)
    assert refused(proxy, "attempts") == 0
    assert held(proxy, "attempts") <= RESERVES


def test_a_hedged_attempt_that_is_the_answer_gives_the_copy_back(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(
        server.address, limits={"copy_buffer": "1MiB"},
        routes=[route(hedge={"methods": ["*/*"], "delay": "20ms"})]))
    client = connect(proxy.address)
    for _ in range(20):
        stream = send(client, message(bytes(60_000)))
        server.next_request()
        connection, head = server.next_request()
        connection.send_headers(head.stream, RESPONSE)
        connection.send_data(head.stream, message(b"one"))
        client.expect("Data", stream)
    # The streams are open, and only the answers are still to come.
    assert refused(proxy, "attempts") == 0
    assert held(proxy, "attempts") <= MIB // 2


# Calls of policies that nobody waits for


def test_asynchronous_calls_to_an_upstream_that_takes_nothing_are_bounded(moongate, upstream, connect):
    deaf, server = upstream(refill=False, window=0), upstream(answer_ok)
    call = """local body = string.rep("x", 300000)
      function envoy_on_request(handle)
        handle:httpCall("audit", {[":method"] = "POST", [":path"] = "/", [":authority"] = "audit"}, body, 20000, true)
      end"""
    proxy = moongate(configuration(
        server.address, upstreams={"audit": [deaf.address]}, limits={"copy_buffer": "8MiB"},
        routes=[route(policies=[{"name": "audit", "lua": call}])]))
    client = connect(proxy.address)
    for _ in range(40):
        assert client.end(client.open(request(CALL), end_stream=True)).get("grpc-status") == "0"
    assert len(deaf.heads()) == 3
    assert 900_000 < held(proxy, "calls") <= MIB
    assert refused(proxy, "calls") == 37
    # The calls end, and others begin.
    for connection in list(deaf.connections):
        connection.close()
    eventually(lambda: held(proxy, "calls") <= RESERVES, 10)
    assert client.end(client.open(request(CALL), end_stream=True)).get("grpc-status") == "0"
    assert refused(proxy, "calls") == 37


def test_an_answer_without_end_ends_the_asynchronous_call(moongate, upstream, connect):
    audit, server = upstream(), upstream(answer_ok)
    call = """function envoy_on_request(handle)
        handle:httpCall("audit", {[":method"] = "POST", [":path"] = "/", [":authority"] = "audit"}, "", 0, true)
      end"""
    proxy = moongate(configuration(
        server.address, upstreams={"audit": [audit.address]}, routes=[route(policies=[{"name": "audit", "lua": call}])]))
    client = connect(proxy.address)
    assert client.end(client.open(request(CALL), end_stream=True)).get("grpc-status") == "0"
    connection, head = audit.next_request()
    connection.send_headers(head.stream, [(":status", "200")])
    connection.send_allowed(head.stream, bytes(MIB + 1))
    assert connection.expect("RstStream", head.stream).code == CANCEL
    eventually(lambda: held(proxy, "calls") <= RESERVES, 5)
