"""Calls whose response is complete while the client has not ended its side (rule X6)."""
import time

import pytest

from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import CANCEL, NO_ERROR, message
from harness.settings import configuration, route
from harness.waiting import eventually, stays_true

COLLECTS = "function on_response(h) h:body() end"
LISTENS = "function on_request(h) for chunk in h:bodyChunks() do end end"


def answers(connection, head):
    """Ends its own side behind the first message, and waits for nothing."""
    connection.wait_for(lambda f: f.stream == head.stream and f.type == "Data")
    connection.respond(head.stream, body=message(b"bye"))


def streams(proxy, side, **labels):
    return proxy.metric(f"moongate_{side}_streams", **labels)


@pytest.mark.parametrize("settings", [
    {}, {"retry": {"on": ["unavailable"], "max_attempts": 3}}, {"policies": [{"name": "collects", "lua": COLLECTS}]},
    {"policies": [{"name": "listens", "lua": LISTENS}]},
], ids=["plain", "retry", "response-body", "request-body"])
def test_X6_a_connection_has_any_number_of_calls_that_their_clients_never_end(moongate, upstream, connect, settings):
    server = upstream(answers)
    proxy = moongate(configuration(server.address, routes=[route(**settings)]))
    client = connect(proxy.address)
    for _ in range(1200 if not settings else 50):
        stream = client.open()
        client.send_data(stream, message(b"hello"))
        end = client.end(stream)
        assert end.type == "Headers" and end.get("grpc-status") == "0", client.transcript()
        assert client.expect("RstStream", stream).code == NO_ERROR
        assert client.body(stream) == message(b"bye")
        client.frames.clear()
    for connection in server.connections:
        for head in connection.heads():
            assert connection.expect("RstStream", head.stream).code == CANCEL
    assert streams(proxy, "downstream", listener="main") == 0 and streams(proxy, "upstream", upstream="main") == 0
    assert proxy.metric("moongate_downstream_abuse_total") == 0


def test_X6_trailers_alone_end_a_call(between):
    proxy, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE + [("grpc-status", "7")], end_stream=True)
    assert client.end(stream).get("grpc-status") == "7"
    assert client.expect("RstStream", stream).code == NO_ERROR
    assert connection.expect("RstStream", head.stream).code == CANCEL
    assert streams(proxy, "downstream", listener="main") == 0


def test_X6_a_call_that_the_client_has_ended_is_not_reset(between):
    proxy, client, server = between
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    assert streams(proxy, "downstream", listener="main") == 0 and streams(proxy, "upstream", upstream="main") == 0
    assert not [f for f in client.of_stream(stream) if f.type == "RstStream"]
    assert not [f for f in connection.of_stream(head.stream) if f.type == "RstStream"]


def test_X6_a_retried_attempt_that_ended_first_is_cancelled(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(
        server.address, routes=[route(retry={"on": ["unavailable"], "max_attempts": 2, "backoff": {"initial": "10ms", "maximum": "10ms"}})]))
    client = connect(proxy.address)
    stream = client.open()
    client.send_data(stream, message(b"hello"))
    first, head = server.next_request()
    first.send_headers(head.stream, RESPONSE + [("grpc-status", "14")], end_stream=True)
    assert first.expect("RstStream", head.stream).code == CANCEL
    second, again = server.next_request()
    second.send_headers(again.stream, RESPONSE + [("grpc-status", "0")], end_stream=True)
    assert client.end(stream).get("grpc-status") == "0"
    assert client.expect("RstStream", stream).code == NO_ERROR
    assert second.expect("RstStream", again.stream).code == CANCEL
    eventually(lambda: streams(proxy, "upstream", upstream="main") == 0, what="no stream is left")


def quick(server):
    return configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "connection": {"request_body_timeout": "800ms"}}])


def test_X6_other_responses_leave_the_client_time_to_end_its_request(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(quick(server))
    client = connect(proxy.address)
    page = request("/", content_type="text/plain")
    silent, busy = client.open(page), client.open(page)
    connection, one = server.next_request()
    two = connection.next_request()
    for head in (one, two):
        connection.send_headers(head.stream, [(":status", "200")])
        connection.send_data(head.stream, b"all", end_stream=True)
    began = time.monotonic()
    for _ in range(10):
        client.send_data(busy, b"more of it")
        time.sleep(0.2)
    reset = client.expect("RstStream", silent)
    assert reset.code == NO_ERROR and 0.5 < reset.at - began < 1.9
    assert client.body(silent) == b"all"
    assert connection.expect("RstStream", one.stream).code == CANCEL
    # Who goes on sending goes on, to a complete end.
    client.send_data(busy, b"last", end_stream=True)
    connection.wait_end(two.stream)
    assert connection.body(two.stream) == b"more of it" * 10 + b"last"
    eventually(lambda: streams(proxy, "downstream", listener="main") == 0, what="no stream is left")
    assert not [f for f in client.of_stream(busy) if f.type == "RstStream"]
    assert proxy.metric("moongate_downstream_abuse_total", kind="slow_body", listener="main") == 1


def test_X6_a_response_that_is_not_complete_is_not_ended(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(quick(server))
    client = connect(proxy.address)
    stream = client.open(request("/", content_type="text/plain"))
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", "200")])
    client.expect("Headers", stream)
    stays_true(lambda: not [f for f in client.of_stream(stream) if f.type == "RstStream"], 2)
    connection.send_data(head.stream, b"done", end_stream=True)
    client.wait_for(lambda f: f.stream == stream and f.ends_stream)
