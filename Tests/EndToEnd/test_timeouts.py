"""Deadlines (rules T)."""
import time

import grpc
import pytest

from harness.frame_client import request
from harness.frame_upstream import RESPONSE
from harness.frames import CANCEL, message
from harness.settings import configuration, route
from harness.stubs import Order

UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def seconds(value):
    """A `grpc-timeout` as seconds."""
    assert value[:-1].isdigit() and 1 <= len(value) - 1 <= 8, value
    return int(value[:-1]) * UNITS[value[-1]]


def with_timeout(value):
    return request(extra=[("grpc-timeout", value)])


@pytest.mark.parametrize("value, limit", [
    ("2H", 7200), ("3M", 180), ("99999999S", 99_999_999), ("1500m", 1.5), ("2000000u", 2), ("99999999n", 0.1),
])
def test_T3_remaining_time_is_forwarded(between, value, limit):
    _, client, server = between
    stream = client.open(with_timeout(value), end_stream=True)
    connection, head = server.next_request()
    left = seconds(head.get("grpc-timeout"))
    assert 0 < left <= limit
    assert left >= limit - max(0.09, limit * 0.01)
    client.reset(stream)


@pytest.mark.parametrize("value, limit", [("200m", 0.2), ("300000u", 0.3), ("1S", 1.0)])
def test_T4_expired_deadline_is_one_trailers_only_frame_and_a_cancel(between, value, limit):
    _, client, server = between
    began = time.monotonic()
    stream = client.open(with_timeout(value), end_stream=True)
    connection, head = server.next_request()
    frames = client.answer(stream)
    took = frames[-1].at - began
    assert [frame.type for frame in frames] == ["Headers"]
    assert frames[0].get("grpc-status") == "4"
    assert limit - 0.02 <= took < limit + 0.15, took
    assert connection.expect("RstStream", head.stream).code == CANCEL


def test_T4_deadline_between_messages_ends_with_trailers(between):
    _, client, server = between
    stream = client.open(with_timeout("300m"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    connection.send_data(head.stream, message(b"one"))
    last = client.end(stream)
    assert last.get("grpc-status") == "4" or (last.type, last.code) == ("RstStream", CANCEL)
    assert client.body(stream) == message(b"one")
    assert connection.expect("RstStream", head.stream).code == CANCEL


def test_T4_deadline_mid_message_resets_with_cancel(between):
    _, client, server = between
    stream = client.open(with_timeout("300m"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    connection.send_data(head.stream, message(b"12345678")[:9])
    last = client.end(stream)
    assert last.type == "RstStream" and last.code == CANCEL
    assert connection.expect("RstStream", head.stream).code == CANCEL


@pytest.mark.parametrize("value", ["0S", "0n"])
def test_T1_timeout_of_zero_has_expired(between, value):
    _, client, server = between
    stream = client.open(with_timeout(value), end_stream=True)
    assert client.end(stream).get("grpc-status") == "4"


@pytest.mark.parametrize("value", ["", "S", "10", "-1S", "1.5S", "123456789S", "1s", "1 S", "0x1S", "+1S"])
def test_T1_malformed_timeout_is_refused_or_ignored(between, value):
    _, client, server = between
    stream = client.open(with_timeout(value), end_stream=True)
    try:
        connection, head = server.next_request(timeout=0.5)
        connection.respond(head.stream)
        wanted = ("0",)
    except AssertionError:
        wanted = ("3", "13")
    assert client.end(stream).get("grpc-status") in wanted


def limited(moongate, upstream, connect, timeout):
    server = upstream()
    proxy = moongate(configuration(server.address, routes=[route(timeout=timeout)]))
    return connect(proxy.address), server


def test_T2_route_timeout_ends_a_call_without_deadline(moongate, upstream, connect):
    client, server = limited(moongate, upstream, connect, "250ms")
    began = time.monotonic()
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    last = client.end(stream)
    assert last.get("grpc-status") == "4"
    assert 0.23 <= last.at - began < 0.45
    assert connection.expect("RstStream", head.stream).code == CANCEL


@pytest.mark.parametrize("asked, limit", [("100m", 0.1), ("10S", 0.4)])
def test_T2_smaller_of_route_timeout_and_deadline_counts(moongate, upstream, connect, asked, limit):
    client, server = limited(moongate, upstream, connect, "400ms")
    began = time.monotonic()
    stream = client.open(with_timeout(asked), end_stream=True)
    _, head = server.next_request()
    assert seconds(head.get("grpc-timeout")) <= limit
    last = client.end(stream)
    assert last.get("grpc-status") == "4"
    assert limit - 0.02 <= last.at - began < limit + 0.2


def test_T2_route_timeout_of_a_plain_http_request_is_504(moongate, upstream, connect):
    client, server = limited(moongate, upstream, connect, "200ms")
    stream = client.open(request(method="GET", path="/slow", content_type=""), end_stream=True)
    server.next_request()
    assert client.answer(stream)[0].get(":status") == "504"


def test_T2_without_any_timeout_nothing_ends_a_quiet_stream(between):
    _, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    assert head.get("grpc-timeout") is None
    connection.send_headers(head.stream, RESPONSE)
    time.sleep(3)
    client.send_data(stream, message(b"late"), end_stream=True)
    connection.wait_end(head.stream)
    connection.send_headers(head.stream, [("grpc-status", "0")], end_stream=True)
    assert client.end(stream).get("grpc-status") == "0"


def test_T3_grpcio_backend_sees_the_time_that_is_left(echo):
    _, _, client = echo
    assert 4.0 < client.unary(timeout=5).time_remaining <= 5.1      # gRPC rounds up
    assert client.probe.Unary(Order()).time_remaining < 0 or client.probe.Unary(Order()).time_remaining > 1e6


def test_T4_grpcio_client_sees_the_route_timeout(moongate, backend, client):
    proxy = moongate(configuration(backend.address, routes=[route(timeout="200ms")]))
    error = client(proxy.address).refused(Order(delay_ms=3000), timeout=20)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_T4_many_deadlines_at_once(echo):
    _, backend, client = echo
    calls = [client.probe.Unary.future(Order(delay_ms=10_000), timeout=0.2 + n / 1000) for n in range(40)]
    for call in calls:
        assert call.exception(5).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert client.hello()


# Which timer, and where it is set


def timed(moongate, upstream, connect, **settings):
    server = upstream()
    proxy = moongate(configuration(server.address, routes=[route(**settings)]))
    return connect(proxy.address), server


@pytest.mark.parametrize("settings, asked, wanted", [
    ({"timeout": "200ms"}, None, "timeout of route all, 200.0 ms"),
    ({"timeout": "10s"}, "200m", "the client's grpc-timeout, 200.0 ms"),
    ({"grpc_timeout": {"default": "200ms"}}, None, "grpc_timeout.default of route all, 200.0 ms"),
    ({"grpc_timeout": {"maximum": "200ms"}}, "1H", "grpc_timeout.maximum of route all, 200.0 ms"),
    ({"grpc_timeout": {"default": "1h", "maximum": "2h"}, "timeout": "200ms"}, None, "timeout of route all, 200.0 ms"),
])
def test_T4_message_names_the_timer_and_its_setting(moongate, upstream, connect, settings, asked, wanted):
    client, server = timed(moongate, upstream, connect, **settings)
    stream = client.open(with_timeout(asked) if asked else None, end_stream=True)
    _, head = server.next_request()
    assert seconds(head.get("grpc-timeout")) <= 0.2
    last = client.end(stream)
    assert last.get("grpc-status") == "4"
    assert last.get("grpc-message") == f"deadline exceeded: {wanted}"


def test_T2_default_does_not_shorten_what_the_client_asks_for(moongate, upstream, connect):
    client, server = timed(moongate, upstream, connect, grpc_timeout={"default": "100ms"})
    stream = client.open(with_timeout("5S"), end_stream=True)
    connection, head = server.next_request()
    time.sleep(0.4)
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_silent_stream_ends_with_idle_timeout(moongate, upstream, connect):
    client, server = timed(moongate, upstream, connect, idle_timeout="400ms")
    began = time.monotonic()
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    last = client.end(stream)
    assert last.get("grpc-status") == "4" and "idle_timeout of route all" in last.get("grpc-message")
    assert last.at - began >= 0.39
    assert connection.expect("RstStream", head.stream).code == CANCEL


def test_idle_timeout_holds_while_a_hook_waits_for_the_body(moongate, upstream, connect):
    policy = {"name": "waits", "lua": "function on_request(h) h:body() end"}
    client, server = timed(moongate, upstream, connect, idle_timeout="400ms", policies=[policy])
    stream = client.open(request())
    client.send_data(stream, message(b"12345678")[:9])
    last = client.end(stream)
    assert last.get("grpc-status") == "4" and "idle_timeout of route all" in last.get("grpc-message")
    assert not server.heads(), "nothing reached the upstream"


def test_idle_timeout_of_the_route_that_a_policy_chooses_counts(moongate, upstream, connect):
    server = upstream()
    leave = """function on_request(h)
        local body = h:body()
        h:headers():replace("x-to", "slow")
        h:clearRouteCache()
      end"""
    proxy = moongate(configuration(server.address, routes=[
        route("main", "slow", match={"headers": [{"name": "x-to", "exact": "slow"}]}),
        route("main", "quick", idle_timeout="400ms", policies=[{"name": "leave", "lua": leave}])]))
    client = connect(proxy.address)
    stream = client.open(request())
    client.send_data(stream, message(b"12345678"), end_stream=True)
    connection, head = server.next_request()
    time.sleep(1)
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_stream_with_a_byte_now_and_then_is_not_idle(moongate, upstream, connect):
    client, server = timed(moongate, upstream, connect, idle_timeout="600ms")
    stream = client.open()
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    for index in range(8):
        time.sleep(0.25)
        if index % 2:
            client.send_data(stream, message(b"up"))
        else:
            connection.send_data(head.stream, message(b"down"))
    client.send_data(stream, b"", end_stream=True)
    connection.send_headers(head.stream, [("grpc-status", "0")], end_stream=True)
    assert client.end(stream).get("grpc-status") == "0"
    assert client.body(stream) == message(b"down") * 4


def test_idle_stream_whose_answer_has_begun_ends_with_trailers(moongate, upstream, connect):
    client, server = timed(moongate, upstream, connect, idle_timeout="300ms")
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    connection.send_data(head.stream, message(b"one"))
    last = client.end(stream)
    assert last.type == "Headers" and last.get("grpc-status") == "4"
    assert client.body(stream) == message(b"one")
