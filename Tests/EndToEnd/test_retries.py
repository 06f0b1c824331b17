"""Attempts at an upstream: on statuses in heads and in trailers, on resets, after pauses (rules C and F, gRFC A6)."""
import time

import pytest

from harness.backend import Backend
from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import CANCEL, REFUSED_STREAM, message
from harness.ports import free_port
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually


def retrying(on=("unavailable",), **more):
    return {"on": list(on), "backoff": {"initial": "1ms", "maximum": "2ms"}, **more}


@pytest.fixture
def retried(moongate, upstream, connect):
    """Client and scripted upstream with a proxy between them that retries as the given settings say."""
    def start(on=("unavailable",), settings=None, **more):
        server = upstream()
        proxy = moongate(configuration(server.address, routes=[route(retry=retrying(on, **more), **(settings or {}))]))
        start.proxy = proxy
        return connect(proxy.address), server
    return start


def refuse_in_trailers(connection, stream, status=14, extra=()):
    """The head leaves first, the status follows: what servers do that flush their metadata."""
    connection.send_headers(stream, RESPONSE)
    time.sleep(0.02)
    connection.send_headers(stream, [("grpc-status", str(status)), *extra], end_stream=True)


def refuse_at_once(connection, stream, status=14, extra=()):
    connection.send_headers(stream, [*RESPONSE, ("grpc-status", str(status)), *extra], end_stream=True)


def call(client, body=message(b"request")):
    stream = client.open()
    client.send_data(stream, body, end_stream=True)
    return stream


@pytest.mark.parametrize("refuse", [refuse_in_trailers, refuse_at_once])
def test_a_status_is_retried_wherever_it_stands(retried, refuse):
    client, server = retried()
    stream = call(client)
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    refuse(connection, head.stream)
    connection, again = server.next_request()
    connection.wait_end(again.stream)
    assert connection.body(again.stream) == message(b"request")
    connection.respond(again.stream, message(b"answer"))
    answer = client.answer(stream)
    assert answer[-1].get("grpc-status") == "0"
    assert client.body(stream) == message(b"answer")
    assert len(server.heads()) == 2


def test_A6_previous_attempts_are_told(retried):
    client, server = retried(max_attempts=3)
    stream = call(client)
    seen = []
    for _ in range(3):
        connection, head = server.next_request()
        seen.append(head.get("grpc-previous-rpc-attempts"))
        refuse_at_once(connection, head.stream)
    assert seen == [None, "1", "2"]
    assert client.end(stream).get("grpc-status") == "14"
    time.sleep(0.1)
    assert len(server.heads()) == 3


def test_last_attempt_is_the_answer_with_its_own_trailers(retried):
    client, server = retried(max_attempts=2)
    stream = call(client)
    for number in range(2):
        connection, head = server.next_request()
        refuse_in_trailers(connection, head.stream, extra=[("grpc-message", f"attempt {number}"), ("x-try", str(number))])
    frames = client.answer(stream)
    assert [frame.type for frame in frames] == ["Headers", "Headers"]
    assert frames[-1].get("grpc-message") == "attempt 1" and frames[-1].get("x-try") == "1"


@pytest.mark.parametrize("status", [2, 5, 13])
def test_other_statuses_are_not_retried(retried, status):
    client, server = retried(["unavailable", "resource_exhausted"])
    stream = call(client)
    connection, head = server.next_request()
    refuse_in_trailers(connection, head.stream, status)
    assert client.end(stream).get("grpc-status") == str(status)
    assert len(server.heads()) == 1


@pytest.mark.parametrize("pushback, follows", [("0", True), ("300", True), ("-1", False), ("soon", False), ("", False)])
def test_A6_pushback_decides(retried, pushback, follows):
    client, server = retried()
    stream = call(client)
    connection, head = server.next_request()
    refuse_in_trailers(connection, head.stream, extra=[("grpc-retry-pushback-ms", pushback)])
    began = time.monotonic()
    if follows:
        connection, again = server.next_request()
        assert time.monotonic() - began >= int(pushback) / 1000 - 0.03
        connection.respond(again.stream)
        assert client.end(stream).get("grpc-status") == "0"
    else:
        assert client.end(stream).get("grpc-status") == "14"
        assert len(server.heads()) == 1


def test_head_leaves_at_once_while_the_client_may_wait_for_it(retried):
    """A bidi client that waits for initial metadata before it sends must get it."""
    client, server = retried()
    stream = client.open()
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE + [("x-early", "1")])
    assert client.expect("Headers", stream).get("x-early") == "1"
    client.send_data(stream, message(b"now"), end_stream=True)
    connection.wait_end(head.stream)
    connection.send_headers(head.stream, [("grpc-status", "14")], end_stream=True)
    assert client.end(stream).get("grpc-status") == "14"
    assert len(server.heads()) == 1, "a committed response is not retried"


def test_first_message_commits_the_response(retried):
    client, server = retried()
    stream = call(client)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    connection.send_data(head.stream, message(b"one"))
    client.expect("Data", stream)
    connection.send_headers(head.stream, [("grpc-status", "14")], end_stream=True)
    assert client.end(stream).get("grpc-status") == "14"
    assert client.body(stream) == message(b"one")
    assert len(server.heads()) == 1


def test_F6_request_beyond_the_buffer_is_sent_once(retried):
    client, server = retried(buffer="1KiB")
    stream = call(client, message(b"x" * 5000))
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    refuse_in_trailers(connection, head.stream)
    assert client.end(stream).get("grpc-status") == "14"
    assert len(server.heads()) == 1


def test_large_buffer_is_sent_again_whole_and_opens_the_window_once(retried):
    client, server = retried(buffer="4MiB")
    body = message(bytes(range(256)) * 1500)
    stream = client.open()
    client.send_allowed(stream, body, end_stream=True)
    for _ in range(2):
        connection, head = server.next_request()
        connection.wait_end(head.stream)
        assert connection.body(head.stream) == body
        refuse_in_trailers(connection, head.stream)
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == body
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


@pytest.mark.parametrize("code", [0x2, CANCEL, 0xb])
def test_C3_reset_before_a_response_is_retried_where_configured(retried, code):
    client, server = retried(["reset"])
    stream = call(client)
    connection, head = server.next_request()
    connection.reset(head.stream, code)
    connection, again = server.next_request()
    connection.respond(again.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_C3_lost_connection_is_retried_where_configured(retried):
    client, server = retried(["reset"])
    stream = call(client)
    connection, head = server.next_request()
    connection.abort()
    connection, again = server.next_request()
    connection.respond(again.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_C3_reset_behind_a_kept_head_is_retried(retried):
    client, server = retried(["reset", "unavailable"])
    stream = call(client)
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    connection.send_headers(head.stream, RESPONSE)
    time.sleep(0.05)
    connection.reset(head.stream, 0x2)
    connection, again = server.next_request()
    connection.respond(again.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_C2_refused_stream_is_not_charged(retried):
    client, server = retried(max_attempts=2)
    stream = call(client)
    connection, head = server.next_request()
    connection.reset(head.stream, REFUSED_STREAM)
    connection, second = server.next_request()
    assert second.get("grpc-previous-rpc-attempts") is None
    refuse_at_once(connection, second.stream)
    connection, third = server.next_request()
    assert third.get("grpc-previous-rpc-attempts") == "1"
    connection.respond(third.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_C1_stream_behind_goaway_is_sent_elsewhere(retried):
    client, server = retried()
    stream = call(client)
    connection, head = server.next_request()
    connection.go_away(0)
    other, again = server.next_request()
    assert other is not connection
    other.respond(again.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_T5_per_try_timeout_begins_another_attempt(retried):
    client, server = retried(per_try_timeout="150ms", max_attempts=2)
    stream = call(client)
    connection, head = server.next_request()
    assert connection.expect("RstStream", head.stream).code == CANCEL
    connection, again = server.next_request()
    connection.respond(again.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_T5_per_try_timeout_of_the_last_attempt_is_named(retried):
    client, server = retried(per_try_timeout="100ms", max_attempts=2)
    stream = call(client)
    last = client.end(stream)
    assert last.get("grpc-status") == "4"
    assert "per_try_timeout" in last.get("grpc-message") and "attempt 2 of 2" in last.get("grpc-message")
    assert len(server.heads()) == 2


def test_T5_per_try_timeout_ends_with_the_first_bytes(retried):
    client, server = retried(per_try_timeout="150ms")
    stream = call(client)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    time.sleep(0.5)
    connection.send_data(head.stream, message(b"late"))
    connection.send_headers(head.stream, OK, end_stream=True)
    assert client.end(stream).get("grpc-status") == "0"
    assert client.body(stream) == message(b"late")


def test_T3_deadline_covers_all_attempts_and_is_told_anew(retried):
    client, server = retried(max_attempts=10, settings={"timeout": "700ms"})
    stream = call(client)
    left = []
    began = time.monotonic()
    while time.monotonic() - began < 5:
        try:
            connection, head = server.next_request(timeout=1)
        except AssertionError:
            break
        value = head.get("grpc-timeout")
        left.append(int(value[:-1]) * {"n": 1e-9, "u": 1e-6, "m": 1e-3}[value[-1]])
        time.sleep(0.1)
        refuse_at_once(connection, head.stream)
    assert client.end(stream).get("grpc-status") in ("4", "14")
    assert left == sorted(left, reverse=True) and left[0] <= 0.7 and left[-1] < 0.3, left


def test_no_attempt_that_the_deadline_leaves_no_time_for(retried):
    client, server = retried(settings={"timeout": "1s"})
    stream = call(client)
    connection, head = server.next_request()
    began = time.monotonic()
    refuse_at_once(connection, head.stream, extra=[("grpc-retry-pushback-ms", "5000")])
    assert client.end(stream).get("grpc-status") == "14"
    assert time.monotonic() - began < 0.9


def test_client_that_leaves_during_the_pause_ends_it(retried):
    client, server = retried()
    stream = call(client)
    connection, head = server.next_request()
    refuse_at_once(connection, head.stream, extra=[("grpc-retry-pushback-ms", "300")])
    time.sleep(0.1)
    client.reset(stream)
    time.sleep(0.5)
    assert len(server.heads()) == 1


def test_gateway_errors_of_http_are_retried(retried):
    client, server = retried(["gateway_error"])
    stream = client.open(request(content_type="application/json"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", "503")])
    connection.send_data(head.stream, b"busy", end_stream=True)
    connection, again = server.next_request()
    connection.send_headers(again.stream, [(":status", "200")], end_stream=True)
    assert client.end(stream).get(":status") == "200"


def test_connect_failure_is_retried_after_a_pause(moongate, client):
    port = free_port()
    proxy = moongate(configuration(f"127.0.0.1:{port}", routes=[route(retry={
        "on": ["connect_failure"], "max_attempts": 10, "backoff": {"initial": "200ms", "maximum": "1s"}})]))
    caller = client(proxy.address)
    call = caller.probe.Unary.future(Order(), timeout=20)
    time.sleep(0.5)
    server = Backend(address=f"127.0.0.1:{port}")
    try:
        assert call.result().backend == "a"
    finally:
        server.stop()


def taken(*servers):
    """The next request at any of the servers, if there is one."""
    for server in servers:
        for connection in list(server.connections):
            head = connection.untaken()
            if head:
                return server, connection, head
    return None


def test_retry_goes_to_another_endpoint(moongate, upstream, connect):
    one, two = upstream(), upstream()
    proxy = moongate(configuration(upstreams={"main": [one.address, two.address]}, routes=[route(retry=retrying())]))
    client = connect(proxy.address)
    for _ in range(4):
        stream = call(client)
        first, connection, head = eventually(lambda: taken(one, two))
        refuse_at_once(connection, head.stream)
        second, connection, head = eventually(lambda: taken(one, two))
        assert second is not first
        connection.respond(head.stream)
        assert client.end(stream).get("grpc-status") == "0"


def test_policies_see_one_response(moongate, upstream, connect):
    """Hooks of the response run on the answer, not on attempts before it."""
    server = upstream()
    lua = ('function on_response(handle) '
           'handle:headers():replace("x-hooks", (tonumber(handle:headers():get("x-hooks") or 0) + 1) .. "") end')
    proxy = moongate(configuration(server.address, routes=[
        route(retry=retrying(), policies=[{"name": "count", "lua": lua}])]))
    client = connect(proxy.address)
    stream = call(client)
    connection, head = server.next_request()
    refuse_in_trailers(connection, head.stream)
    connection, again = server.next_request()
    connection.respond(again.stream)
    assert client.answer(stream)[0].get("x-hooks") == "1"


def test_metrics_count_attempts(retried):
    client, server = retried()
    stream = call(client)
    connection, head = server.next_request()
    refuse_at_once(connection, head.stream)
    connection, again = server.next_request()
    connection.respond(again.stream)
    client.end(stream)
    assert retried.proxy.metric("moongate_retries_total", route="all") == 1


def test_access_log_tells_the_attempts(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, routes=[route(retry=retrying())], access_log={"path": "-"}))
    client = connect(proxy.address)
    stream = call(client)
    connection, head = server.next_request()
    connection.respond(head.stream)
    client.end(stream)
    stream = call(client)
    for _ in range(2):
        connection, head = server.next_request()
        refuse_at_once(connection, head.stream)
    connection, head = server.next_request()
    connection.respond(head.stream)
    client.end(stream)
    entries = eventually(lambda: (lambda found: found if len(found) == 2 else None)(
        [entry for entry in proxy.log_entries() if "route" in entry and "path" in entry]))
    assert [entry.get("attempts") for entry in entries] == [None, 3]


def test_grpcio_calls_succeed_while_one_of_two_backends_refuses(moongate, backends, client):
    good, bad = backends("good", "bad")
    proxy = moongate(configuration(
        upstreams={"main": [good.address, bad.address]}, routes=[route(retry=retrying(max_attempts=4))]))
    caller = client(proxy.address)
    for _ in range(20):
        assert caller.unary(Order(payload=b"x" * 1000)).backend in ("good", "bad")
    bad.stop()
    for _ in range(40):
        assert caller.unary(Order(payload=b"x" * 1000)).backend == "good"


def test_retries_beyond_the_upstreams_limit_are_not_made(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(
        upstreams={"main": {"endpoints": [server.address], "limits": {"max_retries": 1}}},
        routes=[route(retry=retrying())]))
    client = connect(proxy.address)
    streams = [call(client) for _ in range(2)]
    heads = [server.next_request() for _ in range(2)]
    for connection, head in heads:
        refuse_at_once(connection, head.stream)
    connection, again = server.next_request()
    failed = client.wait_for(lambda frame: frame.stream in streams and frame.ends_stream)
    assert failed.get("grpc-status") == "14"
    connection.respond(again.stream)
    [left] = [stream for stream in streams if stream != failed.stream]
    assert client.end(left).get("grpc-status") == "0"
    assert proxy.metric("moongate_upstream_overflows_total", limit="max_retries") == 1
    for _ in range(2):                                     # the place is free again
        stream = call(client)
        connection, head = server.next_request()
        refuse_at_once(connection, head.stream)
        connection, head = server.next_request()
        connection.respond(head.stream)
        assert client.end(stream).get("grpc-status") == "0"


def test_limit_that_is_reached_is_not_retried(moongate, upstream, connect):
    """Trying again would add to what the limit is there against."""
    server = upstream()
    proxy = moongate(configuration(
        upstreams={"main": {"endpoints": [server.address], "limits": {"max_requests": 1}}},
        routes=[route(retry=retrying(["unavailable", "connect_failure"], max_attempts=5))]))
    client = connect(proxy.address)
    held = call(client)
    server.next_request()
    last = client.end(call(client))
    assert last.get("grpc-status") == "14" and "max_requests (1) reached" in last.get("grpc-message")
    assert proxy.metric("moongate_retries_total") == 0
    client.reset(held)


def test_a_request_that_waits_for_its_next_attempt_is_kept_whatever_others_hold(moongate, upstream, connect):
    """Uploads of the same client hold more than `request_buffer`: what is kept for other attempts goes, but not what is all
    that the next one has."""
    server = upstream(settings={0x4: 70_000}, refill=False)
    retry = {"on": ["unavailable"], "backoff": {"initial": "1s", "maximum": "1s"}, "buffer": "128KiB"}
    proxy = moongate(configuration(server.address, routes=[route(retry=retry)], listeners=[
        {"name": "main", "address": "127.0.0.1:0", "limits": {"request_buffer": "256KiB"}}]))
    client = connect(proxy.address)
    body = message(bytes(range(256)) * 200)
    stream = call(client, body)
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    refuse_at_once(connection, head.stream)
    eventually(lambda: proxy.metric("moongate_retries_total") == 1, what="the pause before the next attempt")
    others = [client.open() for _ in range(5)]
    for other in others:
        client.send_allowed(other, b"x" * 150_000)
    connection, again = server.next_request()
    while again.get("grpc-previous-rpc-attempts") != "1":
        connection, again = server.next_request()
    connection.wait_end(again.stream)
    assert connection.body(again.stream) == body
    connection.respond(again.stream, message(b"answer"))
    assert client.answer(stream)[-1].get("grpc-status") == "0"
