"""Deadlines while hooks of policies wait (rules T): they count from the request's head, whoever makes the request wait."""
import json
import time

import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import RESPONSE, answer_ok
from harness.frames import CANCEL, message
from harness.settings import configuration, route
from harness.waiting import eventually

SLEEPS = 'local moon = require "moon"\nfunction on_request(h) moon.sleep(5) end'
SLEEPS_ON_RESPONSE = 'local moon = require "moon"\nfunction on_response(h) moon.sleep(5) end'
CALLS = """local moon = require "moon"
function on_request(h) moon.http.get("auth", "/check", {timeout = 5}) end"""


def policy(text, name="wait"):
    return {"name": name, "lua": text}


def asking(timeout, path=None, extra=()):
    return request(path, extra=[*([("grpc-timeout", timeout)] if timeout else []), *extra])


def ended(client, headers, limit=0.3):
    """The last frame of a call that ends at its deadline, and neither before nor long after it."""
    began = time.monotonic()
    stream = client.open(headers, end_stream=True)
    last = client.end(stream)
    took = last.at - began
    assert limit - 0.02 <= took < limit + 0.4, took
    assert last.get("grpc-status") == "4", last.headers
    return last


@pytest.fixture
def waiting(moongate, upstream, connect):
    """Starts a proxy with routes to an upstream that answers; gives the proxy, a client, and the upstream."""
    def start(*routes, policies=(), script=answer_ok, **more):
        server = upstream(script)
        listener = {"name": "main", "address": "127.0.0.1:0", "policies": list(policies)}
        proxy = moongate(configuration(server.address, routes=list(routes), listeners=[listener], **more))
        return proxy, connect(proxy.address), server

    return start


@pytest.mark.parametrize("settings, asked, wanted", [
    ({"timeout": "300ms"}, None, "timeout of route all, 300.0 ms"),
    ({"timeout": "300ms"}, "10S", "timeout of route all, 300.0 ms"),
    ({}, "300m", "the client's grpc-timeout, 300.0 ms"),
    ({"grpc_timeout": {"default": "300ms"}}, None, "grpc_timeout.default of route all, 300.0 ms"),
    ({"grpc_timeout": {"maximum": "300ms"}}, "1H", "grpc_timeout.maximum of route all, 300.0 ms"),
])
def test_a_hook_that_sleeps_does_not_outlast_the_deadline(waiting, settings, asked, wanted):
    _, client, server = waiting(route(policies=[policy(SLEEPS)], **settings))
    assert ended(client, asking(asked)).get("grpc-message") == f"deadline exceeded: {wanted}"
    assert not server.heads(), "nothing reached the upstream"


def test_a_call_that_a_hook_waits_for_is_cancelled_at_the_deadline(waiting, upstream):
    auth = upstream(lambda connection, head: None)
    _, client, server = waiting(
        route(timeout="300ms", policies=[policy(CALLS)]), upstreams={"auth": [auth.address]})
    ended(client, asking(None))
    [head] = auth.heads()
    assert auth.connection().expect("RstStream", head.stream).code == CANCEL
    assert not server.heads(), "nothing reached the upstream"


def test_a_body_that_a_hook_waits_for_counts(waiting):
    _, client, server = waiting(route(timeout="300ms", policies=[policy("function on_request(h) h:body() end")]))
    stream = client.open(asking(None))
    began = time.monotonic()
    client.send_data(stream, message(b"12345678")[:9])
    last = client.end(stream)
    assert last.get("grpc-status") == "4" and 0.25 <= last.at - began < 0.7


def test_before_there_is_a_route_the_clients_word_counts(waiting):
    _, client, server = waiting(route(timeout="10ms"), policies=[policy(SLEEPS)])
    last = ended(client, asking("300m"))
    assert last.get("grpc-message") == "deadline exceeded: the client's grpc-timeout, 300.0 ms"
    assert not server.heads()


def test_what_a_policy_of_the_listener_takes_is_taken_from_the_routes_time(waiting):
    _, client, server = waiting(
        route(timeout="300ms", policies=[policy(SLEEPS, "more")]),
        policies=[policy('local moon = require "moon"\nfunction on_request(h) moon.sleep(0.2) end')])
    ended(client, asking(None))


def test_time_that_is_over_when_the_route_is_found_ends_the_call_there(waiting):
    _, client, server = waiting(
        route(timeout="100ms"),
        policies=[policy('local moon = require "moon"\nfunction on_request(h) moon.sleep(0.3) end')])
    last = ended(client, asking(None))
    assert last.get("grpc-message") == "deadline exceeded: timeout of route all, 100.0 ms"
    assert not server.heads()


def test_the_upstream_gets_what_the_hooks_have_left(waiting):
    _, client, server = waiting(
        route(timeout="2s", policies=[
            policy('local moon = require "moon"\nfunction on_request(h) moon.sleep(0.5) end')]))
    client.call(asking(None))
    [head] = server.heads()
    value = head.get("grpc-timeout")
    assert value and 1.0 < int(value[:-1]) * {"m": 1e-3, "u": 1e-6, "n": 1e-9, "S": 1}[value[-1]] <= 1.5


@pytest.mark.parametrize("text, limit", [
    ('function on_request(h) h:setTimeout(300) moon.sleep(5) end', 0.3),
    ('function on_request(h) moon.sleep(0.1) h:setTimeout(400) moon.sleep(5) end', 0.4),
    ('function on_request(h) h:setTimeout(5000) moon.sleep(0.1) h:setTimeout(300) moon.sleep(5) end', 0.3),
    ('function on_request(h) moon.sleep(0.4) h:setTimeout(200) moon.sleep(5) end', 0.4),
], ids=["before", "after", "shorter", "over"])
def test_setTimeout_counts_at_once(waiting, text, limit):
    _, client, _ = waiting(route(timeout="1s", policies=[policy('local moon = require "moon"\n' + text)]))
    last = ended(client, asking(None), limit)
    assert "the timeout that a policy set" in last.get("grpc-message")


def test_setTimeout_after_a_wait_gives_more_time(waiting):
    text = 'function on_request(h) moon.sleep(0.1) h:setTimeout(0) moon.sleep(0.5) end'
    _, client, server = waiting(route(timeout="300ms", policies=[policy('local moon = require "moon"\n' + text)]))
    assert client.end(client.open(asking(None), end_stream=True)).get("grpc-status") == "0"
    [head] = server.heads()
    assert head.get("grpc-timeout") is None


@pytest.mark.parametrize("timeout, status", [("300ms", "4"), (None, "0")])
def test_the_deadline_follows_the_route_that_a_hook_leads_to(waiting, timeout, status):
    leave = """local moon = require "moon"
      function on_request(h)
        moon.sleep(0.1)
        h:headers():replace("x-to", "other")
        h:clearRouteCache()
      end"""
    other = {"timeout": timeout} if timeout else {}
    _, client, _ = waiting(
        route(name="other", match={"headers": [{"name": "x-to", "exact": "other"}]},
              policies=[policy('local moon = require "moon"\nfunction on_request(h) moon.sleep(0.6) end', "again")],
              **other),
        route(name="first", timeout="500ms", policies=[policy(leave)]))
    began = time.monotonic()
    last = client.end(client.open(asking(None), end_stream=True))
    assert last.get("grpc-status") == status
    if timeout:
        assert last.get("grpc-message") == "deadline exceeded: timeout of route other, 300.0 ms"
        assert 0.28 <= last.at - began < 0.6


def test_a_response_hook_that_waits_keeps_to_the_deadline(waiting):
    _, client, server = waiting(route(timeout="300ms", policies=[policy(SLEEPS_ON_RESPONSE)]))
    ended(client, asking(None))
    assert len(server.heads()) == 1


@pytest.mark.parametrize("reply", [
    "h:respond({[':status'] = '200'}, 'no')",       # before anything has asked for a deadline
    "moon.sleep(0.1) h:respond({[':status'] = '200'}, 'no')",
])
def test_a_response_hook_keeps_to_the_deadline_on_an_answer_of_a_policy(waiting, reply):
    text = f"""local moon = require "moon"
      function on_request(h) {reply} end
      function on_response(h) moon.sleep(5) end"""
    _, client, server = waiting(route(timeout="300ms", policies=[policy(text)]))
    ended(client, asking(None))
    assert not server.heads()


def test_a_response_hook_keeps_to_the_deadline_on_an_answer_of_the_proxy(waiting):
    _, client, server = waiting(
        route(timeout="300ms", policies=[policy(SLEEPS_ON_RESPONSE)]),
        script=lambda connection, head: connection.close())
    ended(client, asking(None))


def test_a_response_hook_that_waits_on_the_deadlines_own_answer_is_not_waited_for(waiting):
    both = """local moon = require "moon"
      function on_request(h) moon.sleep(5) end
      function on_response(h) moon.sleep(5) end"""
    _, client, _ = waiting(route(timeout="300ms", policies=[policy(both)]))
    ended(client, asking(None))


def test_a_response_hook_that_streams_and_waits_keeps_to_the_deadline(waiting):
    text = """local moon = require "moon"
      function on_response(h)
        for chunk in h:bodyChunks() do moon.sleep(5) end
      end"""
    _, client, server = waiting(route(timeout="300ms", policies=[policy(text)]))
    stream = client.open(asking(None), end_stream=True)
    began = time.monotonic()
    last = client.end(stream)
    assert last.get("grpc-status") == "4" or last.type == "RstStream"
    assert 0.25 <= last.at - began < 0.7


def test_a_hook_that_does_not_wait_changes_the_deadlines_answer(waiting):
    text = """local moon = require "moon"
      function on_request(h) moon.sleep(5) end
      function on_response(h) h:headers():add("x-seen", h:headers():get("grpc-status")) end"""
    _, client, _ = waiting(route(timeout="300ms", policies=[policy(text)]))
    assert ended(client, asking(None)).get("x-seen") == "4"


def test_others_are_told_504(waiting):
    _, client, _ = waiting(route(timeout="300ms", policies=[policy(SLEEPS)]))
    began = time.monotonic()
    frames = client.call(request("/", method="GET", content_type=""))
    assert next(frame for frame in frames if frame.type == "Headers").get(":status") == "504"
    assert time.monotonic() - began < 1


def test_the_log_says_so_and_blames_no_upstream(waiting, tmp_path):
    log = tmp_path / "access.log"
    server_policy = policy(SLEEPS_ON_RESPONSE)
    proxy, client, server = waiting(
        route(timeout="300ms", policies=[server_policy]), access_log={"path": str(log)})
    ended(client, asking(None))
    [line] = eventually(lambda: log.read_text().splitlines() or None, 5)
    entry = json.loads(line)
    assert entry["termination"] == "deadline_exceeded" and entry["grpc_status"] == 4
    assert 290 <= entry["duration_ms"] < 700


def test_a_deadline_kept_by_a_hook_ejects_no_endpoint(moongate, upstream, connect):
    server = upstream(answer_ok)
    proxy = moongate(configuration(
        upstreams={"main": {"endpoints": [server.address], "outlier_detection": {"consecutive_local_errors": 2}}},
        routes=[route(timeout="200ms", policies=[policy(SLEEPS_ON_RESPONSE)])]))
    client = connect(proxy.address)
    for _ in range(5):
        ended(client, asking(None), 0.2)
    assert proxy.metric("moongate_upstream_ejections_total", upstream="main") == 0


def test_deadlines_of_many_waiting_hooks_strike_each_in_its_time(waiting):
    _, client, _ = waiting(route(policies=[policy(SLEEPS)]))
    began = time.monotonic()
    streams = {client.open(asking(f"{200 + 10 * n}m"), end_stream=True): 0.2 + n / 100 for n in range(30)}
    for stream, limit in streams.items():
        last = client.end(stream)
        assert last.get("grpc-status") == "4"
        assert limit - 0.02 <= last.at - began < limit + 0.4
