"""GOAWAY, lost connections, limits and pings on either side (rules C)."""
import socket
import time

import pytest

from harness.backend import Backend
from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE, answer_ok
from harness.frames import NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, message
from harness.settings import configuration
from harness.waiting import eventually


def test_C1_streams_go_on_after_an_upstream_goaway_and_new_ones_go_elsewhere(between):
    _, client, server = between
    old = client.open(end_stream=True)
    first, head = server.next_request()
    first.go_away(head.stream)
    time.sleep(0.1)
    new = client.open(end_stream=True)
    second, other = server.next_request()
    assert second is not first
    second.respond(other.stream)
    assert client.end(new).get("grpc-status") == "0"
    first.respond(head.stream, body=message(b"still here"))
    assert client.end(old).get("grpc-status") == "0"
    assert client.body(old) == message(b"still here")


def test_C1_goaway_without_error_at_the_highest_stream_only_stops_new_streams(between):
    _, client, server = between
    old = client.open(end_stream=True)
    first, head = server.next_request()
    first.go_away(2**31 - 1)
    time.sleep(0.1)
    new = client.open(end_stream=True)
    second, other = server.next_request()
    assert second is not first
    second.respond(other.stream)
    first.respond(head.stream)
    assert client.end(new).get("grpc-status") == "0"
    assert client.end(old).get("grpc-status") == "0"


def test_C1_unprocessed_streams_are_tried_again_elsewhere(between):
    _, client, server = between
    stream = client.open()
    client.send_data(stream, message(b"kept"), end_stream=True)
    first, head = server.next_request()
    first.wait_end(head.stream)
    first.go_away(0)
    second, head = server.next_request()
    assert second is not first
    second.wait_end(head.stream)
    assert second.body(head.stream) == message(b"kept")
    second.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_C1_connection_that_was_told_to_go_is_closed_when_it_is_idle(between):
    _, client, server = between
    stream = client.open(end_stream=True)
    first, head = server.next_request()
    first.go_away(head.stream)
    first.respond(head.stream)
    client.answer(stream)
    first.wait_closed(5)


def test_C2_refused_stream_is_tried_again(between):
    _, client, server = between
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.reset(head.stream, REFUSED_STREAM)
    again, second = server.next_request()
    again.respond(second.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_F6_stream_that_has_begun_its_answer_is_not_tried_again(between):
    _, client, server = between
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    client.expect("Headers", stream)
    connection.reset(head.stream, REFUSED_STREAM)
    assert client.end(stream).get("grpc-status") == "14"
    time.sleep(0.2)
    assert len(server.heads()) == 1


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_C3_all_streams_of_a_lost_connection_end_unavailable(between, kind):
    _, client, server = between
    streams = [client.open(end_stream=True) for _ in range(4)]
    connection, _ = server.next_request()
    for _ in range(3):
        connection.next_request()
    connection.close() if kind == "close" else connection.abort()
    for stream in streams:
        assert client.end(stream).get("grpc-status") == "14"


def test_C3_request_of_a_lost_connection_is_not_sent_twice(between):
    _, client, server = between
    stream = client.open(end_stream=True)
    connection, _ = server.next_request()
    connection.close()
    assert client.end(stream).get("grpc-status") == "14"
    time.sleep(0.3)
    assert len(server.heads()) == 1


def test_C5_restarted_backend_is_used_again_by_the_same_client_connection(moongate, client):
    server = Backend()
    try:
        proxy = moongate(configuration(server.address))
        caller = client(proxy.address)
        assert caller.hello()
        server.stop()
        error = eventually(lambda: _failure(caller), 5, what="a failing call")
        assert error.code().value[0] == 14
        server.start()
        began = time.monotonic()
        eventually(lambda: _failure(caller) is None, 10, what="a call that goes through again")
        assert time.monotonic() - began < 5
        assert proxy.metric("moongate_downstream_accepted_total") == 1
    finally:
        server.stop()


def _failure(caller):
    try:
        caller.hello(timeout=2)
        return None
    except Exception as error:  # noqa: BLE001
        return error


def test_C6_upstream_stream_limit_is_obeyed_and_nothing_fails(moongate, upstream, connect):
    server = upstream(settings={0x3: 3})
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address)
    probe = client.open(end_stream=True)            # the limit is known after the first answer
    connection, head = server.next_request()
    connection.respond(head.stream)
    client.answer(probe)
    streams = [client.open(end_stream=True) for _ in range(10)]
    served = 0
    open_now = {}
    while served < len(streams):
        connection, head = server.next_request()
        open_now.setdefault(connection, []).append(head.stream)
        assert len(open_now[connection]) <= 3
        if sum(map(len, open_now.values())) + served == len(streams):
            full = list(open_now)           # nothing more will come
        else:
            full = [other for other in open_now if len(open_now[other]) == 3]
        for other in full:
            for their in open_now.pop(other):
                other.respond(their)
                served += 1
    for stream in streams:
        assert client.end(stream).get("grpc-status") == "0"


def test_C6_own_stream_limit_refuses_the_surplus_stream_alone(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(
        server.address, listeners=[{"name": "main", "address": "127.0.0.1:0", "max_concurrent_streams": 3}]))
    client = connect(proxy.address)
    assert client.expect("Settings").settings[0x3] == 3
    streams = [client.open() for _ in range(4)]
    assert client.expect("RstStream", streams[3]).code == REFUSED_STREAM
    connection, head = server.next_request()
    client.send_data(streams[0], b"", end_stream=True)
    connection.respond(head.stream)
    assert client.end(streams[0]).get("grpc-status") == "0"


def test_C6_default_stream_limit_is_at_least_1000(between):
    _, client, _ = between
    assert client.expect("Settings").settings[0x3] >= 1000


def test_C7_smaller_initial_window_applies_to_open_streams(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address, settings={0x4: 50_000}, refill=False)
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    connection.send_allowed(head.stream, message(b"x" * 40_000))
    eventually(lambda: len(client.body(stream)) == 40_005, what="the first message")
    client.change_settings({0x4: 10_000})           # the stream's window is now -30,005
    client.wait_for(lambda f: f.type == "Settings" and "ACK" in f.flags and client.frames.index(f) > 1, 5)
    connection.send_data(head.stream, message(b"y" * 1000))
    time.sleep(0.3)
    assert len(client.body(stream)) == 40_005, "sent beyond the window"
    client.grant(stream, 100_000)
    eventually(lambda: len(client.body(stream)) == 41_010, what="the second message")
    connection.send_headers(head.stream, OK, end_stream=True)
    client.answer(stream)


def test_C8_dead_endpoint_fails_fast_and_is_not_hammered(moongate, upstream, client):
    dead = upstream()
    address = dead.address
    dead.close()
    proxy = moongate(configuration(address))
    caller = client(proxy.address)
    began = time.monotonic()
    errors = [caller.refused(timeout=5) for _ in range(50)]
    assert {error.code().value[0] for error in errors} == {14}
    assert time.monotonic() - began < 5
    attempts = proxy.metric("moongate_upstream_connects_total", upstream="main", result="failure")
    assert 1 <= attempts <= 25, f"{attempts} attempts to connect for 50 calls in {time.monotonic() - began:.1f} s"


def test_C9_upstream_ping_is_answered(between):
    _, client, server = between
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.ping(b"upstream")
    connection.wait_for(lambda f: f.type == "Ping" and "ACK" in f.flags and f.data == b"upstream", timeout=1)
    connection.respond(head.stream)
    client.answer(stream)


def test_many_client_connections_share_few_upstream_connections(moongate, upstream, connect):
    server = upstream(answer_ok)
    proxy = moongate(configuration(server.address))
    clients = [connect(proxy.address) for _ in range(20)]
    for client in clients:
        streams = [client.open(end_stream=True) for _ in range(5)]
        for stream in streams:
            assert client.end(stream).get("grpc-status") == "0"
    assert len(server.connections) <= 2


def test_client_that_speaks_no_http2_is_let_go(between, connect):
    proxy, _, _ = between
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while plain.recv(4096):
            pass
    assert proxy.running()
    assert connect(proxy.address).expect("Settings")


def test_protocol_error_of_one_client_is_its_own(between, connect):
    proxy, client, server = between
    bad = connect(proxy.address)
    bad.expect("Settings")
    bad.send_raw(b"\0\0\1\0\0\0\0\0\0x")             # DATA on stream 0
    assert bad.expect("GoAway").code == PROTOCOL_ERROR
    bad.wait_closed()
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_client_goaway_lets_its_streams_finish(between):
    _, client, server = between
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    client.go_away(0, NO_ERROR)
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
