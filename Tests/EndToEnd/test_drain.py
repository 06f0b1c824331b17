"""SIGTERM: readiness first, then two-step GOAWAY, then the streams' end (rule C4)."""
import signal
import time

import grpc
import pytest

from harness.client import Client
from harness.frame_client import FrameClient
from harness.frame_upstream import RESPONSE, answer_ok
from harness.frames import NO_ERROR, message
from harness.settings import configuration
from harness.stubs import Order
from harness.waiting import eventually


def draining(delay="0s", grace="5s"):
    return {"delay": delay, "grace": grace}


def test_idle_proxy_ends_at_once_with_0(moongate, backend, client):
    proxy = moongate(configuration(backend.address, drain=draining()))
    client(proxy.address).hello()
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    assert time.monotonic() - began < 3


def test_ready_fails_first_while_connections_are_still_accepted(moongate, backend):
    proxy = moongate(configuration(backend.address, drain=draining(delay="2s")))
    assert proxy.get("/ready")[0] == 200
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    eventually(lambda: proxy.get("/ready")[0] == 503, 1)
    assert proxy.get("/live")[0] == 200
    while time.monotonic() - began < 1.5:
        with Client(proxy.address) as fresh:
            assert fresh.hello()
    assert proxy.wait(6) == 0
    assert 1.9 < time.monotonic() - began < 5


def test_C4_goaway_comes_in_two_steps_and_streams_finish(between):
    proxy, client, server = between
    old = client.open(end_stream=True)
    connection, old_head = server.next_request()
    client.expect("Settings")
    client.hold_ping_ack = True
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    first = client.wait_for(lambda f: f.type == "GoAway", 3)
    assert first.last_stream == 2**31 - 1 and first.code == NO_ERROR
    # A stream that crosses the first GOAWAY on the wire is served.
    crossing = client.open(end_stream=True)
    client.acknowledge_pings()
    second = client.wait_for(lambda f: f.type == "GoAway" and f is not first, 4)
    assert second.code == NO_ERROR and second.last_stream >= crossing
    _, crossing_head = server.next_request()
    connection.respond(old_head.stream, body=message(b"old"))
    connection.respond(crossing_head.stream, body=message(b"crossing"))
    assert client.end(old).get("grpc-status") == "0"
    assert client.end(crossing).get("grpc-status") == "0"
    client.wait_closed(5)
    assert proxy.wait(5) == 0
    assert time.monotonic() - began < 8


def test_a_newcomer_has_its_first_call_before_it_hears_of_the_drain(moongate, upstream):
    server = upstream(answer_ok)
    proxy = moongate(configuration(server.address, drain=draining()))

    def drain_begins():
        eventually(lambda: proxy.metric("moongate_downstream_connections", listener="main") == 1, what="the connection")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: _refused(proxy.address), 3)

    client = FrameClient(proxy.address, meanwhile=drain_begins)
    assert client.end(client.open(end_stream=True)).get("grpc-status") == "0"
    assert not [f for f in client.frames if f.type == "GoAway"]
    assert client.wait_for(lambda f: f.type == "GoAway", 3).last_stream == 2**31 - 1
    client.wait_closed(5)
    assert proxy.wait(5) == 0


def test_a_newcomer_whose_proxy_header_comes_late_is_served(moongate, upstream):
    server = upstream(answer_ok)
    listeners = [{"name": "main", "address": "127.0.0.1:0", "proxy_protocol": {"mode": "required"}}]
    proxy = moongate(configuration(server.address, drain=draining(), listeners=listeners))

    def drain_begins():
        proxy.signal(signal.SIGTERM)
        proxy.wait_entries("draining: no new connections, streams may finish")

    client = FrameClient(
        proxy.address, meanwhile=drain_begins, before=b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n")
    assert client.end(client.open(end_stream=True)).get("grpc-status") == "0"
    client.wait_closed(8)
    assert proxy.wait(5) == 0


def test_a_connection_that_waits_in_the_kernels_queue_is_served(moongate, upstream):
    """One that the kernel has taken, and the acceptor has not: `connection_rate` has it pause."""
    server = upstream(answer_ok)
    listeners = [{"name": "main", "address": "127.0.0.1:0", "limits": {"connection_rate": 1}}]
    proxy = moongate(configuration(server.address, drain=draining(), listeners=listeners))
    clients = [FrameClient(proxy.address) for _ in range(6)]
    proxy.signal(signal.SIGTERM)
    for client in clients:
        assert client.end(client.open(end_stream=True)).get("grpc-status") == "0"
    for client in clients:
        client.close()
    assert proxy.wait(8) == 0


def test_grpcio_call_in_flight_finishes(moongate, backend, client):
    proxy = moongate(configuration(backend.address, drain=draining()))
    caller = client(proxy.address)
    call = caller.probe.ServerStream(Order(count=10, delay_ms=150), timeout=20)
    next(call)
    proxy.signal(signal.SIGTERM)
    assert len(list(call)) == 9 and call.code() is grpc.StatusCode.OK
    assert proxy.wait(5) == 0


def test_new_connections_are_refused_while_streams_finish(moongate, backend, client):
    proxy = moongate(configuration(backend.address, drain=draining()))
    call = client(proxy.address).probe.ServerStream(Order(count=20, delay_ms=150), timeout=20)
    next(call)
    proxy.signal(signal.SIGTERM)
    eventually(lambda: _refused(proxy.address), 3)
    assert len(list(call)) == 19
    assert proxy.wait(5) == 0


def _refused(address):
    try:
        FrameClient(address).close()
        return False
    except OSError:
        return True


def test_streams_left_after_the_grace_time_end_unavailable(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, drain=draining(grace="1s")))
    client = connect(proxy.address)
    waiting, whole, cut = client.open(), client.open(), client.open()
    heads = [server.next_request() for _ in range(3)]
    (_, _), (connection, whole_head), (_, cut_head) = heads
    for head in (whole_head, cut_head):
        connection.send_headers(head.stream, RESPONSE)
    connection.send_data(whole_head.stream, message(b"whole"))
    connection.send_data(cut_head.stream, message(b"12345678")[:9])
    client.expect("Data", cut)
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    ends = {stream: client.end(stream, 6) for stream in (waiting, whole, cut)}
    assert 0.9 < ends[waiting].at - began < 4
    assert ends[waiting].get("grpc-status") == "14"
    assert ends[whole].get("grpc-status") == "14", "trailers at a message boundary"
    assert ends[cut].type == "RstStream", "a reset within a message"
    assert proxy.wait(5) == 0


@pytest.mark.parametrize("first, second", [
    (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
def test_second_signal_ends_at_once(moongate, backend, client, first, second):
    proxy = moongate(configuration(backend.address, drain=draining(delay="20s", grace="20s")))
    call = client(proxy.address).probe.ServerStream(Order(count=1000, delay_ms=100), timeout=60)
    next(call)
    proxy.signal(first)
    time.sleep(0.5)
    assert proxy.running()
    began = time.monotonic()
    proxy.signal(second)
    proxy.wait(3)
    assert time.monotonic() - began < 2
    with pytest.raises(grpc.RpcError):
        list(call)


def test_reload_while_draining_changes_nothing(moongate, backend, client):
    settings = configuration(backend.address, drain=draining(delay="2s"))
    proxy = moongate(settings)
    generation = proxy.generation()
    proxy.signal(signal.SIGTERM)
    eventually(lambda: proxy.get("/ready")[0] == 503, 1)
    proxy.configure({**settings, "routes": []})
    proxy.signal(signal.SIGHUP)
    time.sleep(0.5)
    assert proxy.generation() == generation
    assert client(proxy.address).hello()
    assert proxy.wait(6) == 0
