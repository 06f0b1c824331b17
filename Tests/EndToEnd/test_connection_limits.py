"""How long connections live, how silent they may be, and how many there may be (C4, C9, gRFC A8 and A9)."""
import socket
import time

import pytest

from harness.client import OpenMessages
from harness.frame_client import FrameClient
from harness.frames import CANCEL, NO_ERROR, message
from harness.ports import refused
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually


def listener(name="main", **more):
    return {"name": name, "address": "127.0.0.1:0", **more}


def go_aways(connection):
    with connection.changed:
        return [frame for frame in connection.frames if frame.type == "GoAway"]


def pings(connection):
    with connection.changed:
        return [frame for frame in connection.frames if frame.type == "Ping" and "ACK" not in frame.flags]


@pytest.fixture
def edge(moongate, upstream, connect):
    """A proxy whose listener has these settings, a client and the upstream."""
    def start(of_upstream=None, **of_listener):
        server = upstream()
        proxy = moongate(configuration(
            upstreams={"main": {"endpoints": [server.address], **(of_upstream or {})}},
            listeners=[listener(**of_listener)], routes=[route()]))
        return proxy, connect(proxy.address), server

    return start


# Clients

def test_A9_old_connections_are_drained_and_streams_end_with_grace(edge):
    proxy, client, server = edge(connection={"max_age": "1s", "max_age_grace": "2s"})
    stream = client.open(end_stream=True)
    server.next_request()
    first = client.wait_for(lambda frame: frame.type == "GoAway", 10)
    assert (first.code, first.last_stream, first.data) == (NO_ERROR, 2**31 - 1, b"max_age")
    second = client.wait_for(lambda frame: frame.type == "GoAway" and frame is not first, 10)
    assert (second.code, second.last_stream, second.data) == (NO_ERROR, stream, b"max_age")
    end = client.end(stream, 10)
    assert end.get("grpc-status") == "14" and "age" in end.get("grpc-message")
    eventually(lambda: client.closed, 10, what="the connection ends")
    assert proxy.metric("moongate_downstream_expired_total", reason="max_age") == 1


def test_A9_without_grace_streams_go_on(edge):
    _, client, server = edge(connection={"max_age": "1s"})
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    eventually(lambda: len(go_aways(client)) == 2, 10, what="both GOAWAYs")
    time.sleep(1.5)
    connection.respond(head.stream, body=message(b"late"))
    assert client.end(stream).get("grpc-status") == "0"
    eventually(lambda: client.closed, 10, what="the connection ends")


def test_A9_calls_of_a_real_client_never_notice(moongate, backend, client):
    proxy = moongate(configuration(backend.address, listeners=[listener(connection={"max_age": "1s"})]))
    caller = client(proxy.address, retries=True)
    open_ = OpenMessages(Order(answer_bytes=1))
    stream = caller.probe.Bidi(iter(open_), timeout=30)
    assert next(stream)
    until, calls = time.monotonic() + 5, 0
    while time.monotonic() < until:
        caller.unary()
        calls += 1
    assert proxy.metric("moongate_downstream_accepted_total") >= 3
    open_.put(Order(answer_bytes=2))
    assert len(next(stream).payload) == 2
    open_.close()
    list(stream)
    # None that came here was lost and made again.
    eventually(lambda: proxy.metric("moongate_requests_total") == calls + 1, what="one request for each call")
    assert proxy.metric("moongate_requests_total", grpc_status="0") == calls + 1


def test_idle_connections_end_and_busy_ones_stay(edge, connect):
    proxy, client, server = edge(connection={"max_idle": "1s"})
    busy = connect(proxy.address)
    stream = busy.open(end_stream=True)
    connection, head = server.next_request()
    goodbye = client.wait_for(lambda frame: frame.type == "GoAway", 10)
    assert (goodbye.code, goodbye.data) == (NO_ERROR, b"max_idle")
    eventually(lambda: client.closed, 10, what="the idle connection ends")
    time.sleep(1)
    assert not go_aways(busy)
    connection.respond(head.stream)
    busy.end(stream)
    eventually(lambda: busy.closed, 10, what="the other ends, too")
    assert proxy.metric("moongate_downstream_expired_total", reason="max_idle") == 2


def test_C9_clients_that_are_gone_are_found_and_their_streams_cancelled(edge, connect):
    proxy, client, server = edge(connection={"keepalive": {"interval": "1s", "timeout": "1s"}})
    client.hold_ping_ack = True
    alive = connect(proxy.address)
    client.open(end_stream=True)
    connection, head = server.next_request()
    reset = connection.wait_for(lambda frame: frame.type == "RstStream" and frame.stream == head.stream, 15)
    assert reset.code == CANCEL
    eventually(lambda: client.closed, 10, what="the connection ends")
    assert pings(client) and pings(alive)
    time.sleep(2.5)
    assert not alive.closed and len(pings(alive)) >= 2
    assert proxy.metric("moongate_downstream_expired_total", reason="keepalive_timeout") == 1


def test_who_does_not_speak_in_time_is_closed(moongate, backend, certificate):
    tls = {"certificates": [certificate("edge", ["test.example"]).setting()]}
    limit = {"handshake_timeout": "1s"}
    proxy = moongate(configuration(
        backend.address, listeners=[listener(connection=limit), listener("secure", tls=tls, connection=limit)]))
    for address in proxy.bound.values():
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=15) as silent:
            while silent.recv(4096):
                pass
    spoken = FrameClient(proxy.address)
    time.sleep(1.5)
    assert not spoken.closed
    spoken.close()
    assert proxy.metric("moongate_downstream_expired_total", reason="handshake_timeout") == 2


@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
def test_one_connection_too_many_is_closed_at_once(moongate, backend, connect, limit):
    proxy = moongate(configuration(
        backend.address, listeners=[listener(limits={limit: 2}), listener("other")]) | {"workers": 2})
    kept = [connect(proxy.address), connect(proxy.address)]
    for client in kept:
        client.expect("Settings")
    for _ in range(3):
        assert refused(proxy.address)
    assert not refused(proxy.bound["other"])
    assert proxy.metric("moongate_downstream_refused_total", listener="main", limit=limit) == 3
    told = proxy.wait_entries("connections refused: too many")
    assert len(told) == 1 and told[0]["limit"] == limit and told[0]["last_address"] == "127.0.0.1"
    kept[0].close()
    eventually(lambda: not refused(proxy.address), 10, what="there is room again")


def test_other_addresses_have_room_of_their_own(moongate, backend, connect):
    proxy = moongate(configuration(backend.address, listeners=[listener(limits={"connections_per_address": 1})]))
    connect(proxy.address).expect("Settings")
    assert refused(proxy.address)
    host, _, port = proxy.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10, source_address=("127.0.0.2", 0)) as other:
        assert other.recv(1) != b""


def test_a_reload_changes_limits_and_counts_what_is_there(moongate, backend, connect):
    proxy = moongate(configuration(backend.address, listeners=[listener(address="127.0.0.1:0")]))
    connect(proxy.address).expect("Settings")
    proxy.configure(configuration(backend.address, listeners=[listener(limits={"connections": 1})]))
    proxy.reload()
    assert refused(proxy.address)


# Upstreams

def answer(server):
    connection, head = server.next_request()
    connection.respond(head.stream)
    return connection


def test_old_connections_to_upstreams_take_no_new_streams(edge):
    _, client, server = edge({"connection": {"max_age": "1s"}})
    old = client.open(end_stream=True)
    connection, head = server.next_request()
    time.sleep(1.6)
    new = client.open(end_stream=True)
    assert answer(server) is not connection
    assert client.end(new).get("grpc-status") == "0"
    connection.respond(head.stream)
    assert client.end(old).get("grpc-status") == "0"
    eventually(lambda: connection.closed, 10, what="the old connection ends")


def test_idle_connections_to_upstreams_end(edge):
    _, client, server = edge({"connection": {"max_idle": "1s"}})
    stream = client.open(end_stream=True)
    connection = answer(server)
    client.end(stream)
    eventually(lambda: connection.closed, 10, what="the idle connection ends")
    stream = client.open(end_stream=True)
    assert answer(server) is not connection
    assert client.end(stream).get("grpc-status") == "0"


def test_A8_upstreams_are_asked_only_while_there_are_streams(edge):
    keepalive = {"interval": "1s", "timeout": "1s", "allow_frequent": True}
    _, client, server = edge({"connection": {"keepalive": keepalive}})
    stream = client.open(end_stream=True)
    connection = answer(server)
    client.end(stream)
    time.sleep(2.5)
    assert not pings(connection)
    stream = client.open(end_stream=True)
    _, head = server.next_request()
    eventually(lambda: len(pings(connection)) >= 2, 15, what="two PINGs")
    assert not connection.closed
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_C9_upstreams_that_are_gone_are_found(edge):
    keepalive = {"interval": "1s", "timeout": "1s", "allow_frequent": True}
    _, client, server = edge({"connection": {"keepalive": keepalive}})
    stream = client.open(end_stream=True)
    connection, _ = server.next_request()
    connection.hold_ping_ack = True
    end = client.end(stream, 15)
    assert end.get("grpc-status") == "14" and "keepalive" in end.get("grpc-message")
    eventually(lambda: connection.closed, 10, what="the connection ends")
