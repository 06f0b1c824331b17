"""The hooks of the end: `on_log` for every request that a policy saw, `on_close` for every use of a policy."""
import json
import signal
import threading
import time

import grpc
import pytest

from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

LOG = """
  local function text(value) return value == nil and "nil" or tostring(value) end
"""


@pytest.fixture
def scripted(moongate, backend, client):
    """Starts a proxy in front of a grpcio server; gives proxy and client."""
    def start(*texts, on_error="deny", **more):
        names = [f"p{number}" for number in range(len(texts))]
        references = [{"policy": f"policies/{name}.lua", "on_error": on_error} for name in names]
        proxy = moongate(
            configuration(backend.address, routes=[route(policies=references)], **more),
            policies={f"{name}.lua": LOG + text for name, text in zip(names, texts)})
        return proxy, client(proxy.address)

    return start


def said(proxy, beginning):
    """What policies have logged, as far as it begins so."""
    return [entry["message"][len(beginning):] for entry in proxy.log_entries()
            if entry.get("message", "").startswith(beginning)]


def wait_said(proxy, beginning, count=1):
    eventually(lambda: len(said(proxy, beginning)) >= count, 5, what=f"{count} lines of '{beginning}'")
    return said(proxy, beginning)


# MARK: What it sees


def test_the_whole_exchange_can_be_read(scripted, backend):
    proxy, caller = scripted("""
        function on_request(h) h:ctx().seen = "both" end
        function on_log(h)
          local timings, upstream = h:timings(), h:upstreamInfo()
          h:logInfo("log " .. table.concat({
            h:headers():get(":path"), h:requestHeaders():get("x-key"), h:responseHeaders():get("content-type"),
            h:responseTrailers():get("grpc-status"), text(h:requestTrailers()), text(h:status()),
            text(h:grpcStatus()), upstream.upstream, upstream.endpoint, text(upstream.attempts), h:ctx().seen,
            text(timings.start > 1.6e9 and timings.upstream <= timings.first_byte
              and timings.first_byte <= timings.duration and timings.duration < 60)}, " "))
        end""")
    caller.unary(metadata=[("x-key", "k")])
    assert wait_said(proxy, "log ") == [
        f"/moongate.test.Probe/Unary k application/grpc 0 nil 200 0 main {backend.address} 1 both true"]
    assert proxy.metric("moongate_policy_runs_total", policy="p0", hook="on_log") == 1


def test_failures_and_cancelled_calls_are_logged_as_they_ended(scripted):
    proxy, caller = scripted("""
        function on_request(h)
          if h:headers():get("x-deny") then h:grpcRespond{status = "PERMISSION_DENIED"} end
        end
        function on_log(h)
          h:logInfo("log " .. text(h:status()) .. " " .. text(h:grpcStatus()) .. " " .. text(h:upstreamInfo() ~= nil))
        end""")
    caller.refused(Order(code=5))
    caller.refused(metadata=[("x-deny", "1")])
    call = caller.probe.Unary.future(Order(delay_ms=20000), timeout=30)
    eventually(lambda: proxy.metric("moongate_policy_runs_total", policy="p0", hook="on_request") == 3, 5)
    call.cancel()
    assert wait_said(proxy, "log ", 3) == ["200 5 true", "200 7 false", "nil 1 true"]


def test_only_policies_that_the_request_reached_log_it(scripted):
    proxy, caller = scripted(
        """function on_request(h) h:respond({[":status"] = "401"}) end
           function on_log(h) h:logInfo("log first") end""",
        """function on_log(h) h:logInfo("log second") end""")
    caller.refused()
    caller.refused()
    assert wait_said(proxy, "log ", 2) == ["first", "first"]


# MARK: What it must not do


@pytest.mark.parametrize("action, message", [
    ("h:headers():add('x', '1')", "header map can no longer be modified"),
    ("h:responseTrailers():add('x', '1')", "header map can no longer be modified"),
    ("h:respond({[':status'] = '200'})", "respond is for hooks"),
    ("h:grpcRespond{status = 0}", "respond is for hooks"),
    ("h:body()", "only hooks have bodies"),
    ("h:setUpstream('main')", "setUpstream is for request hooks"),
    ("moon.sleep(1)", "on_log cannot wait"),
    ("moon.http.get('main', '/')", "on_log cannot wait"),
    ("error('own words')", "own words"),
    pytest.param("while true do end", "time limit", marks=pytest.mark.plain),
])
def test_errors_are_logged_and_counted_and_nothing_else(scripted, action, message):
    proxy, caller = scripted(f"""
        local moon = require "moon"
        function on_log(h) {action} h:logInfo("log went on") end""")
    caller.unary()
    entry = eventually(
        lambda: next((entry for entry in proxy.log_entries() if entry.get("hook") == "on_log"), None), 5)
    assert message in entry["message"] and entry["policy"] == "p0" and not said(proxy, "log ")
    errors = {labels["reason"]: count for labels, count in (
        (labels, count) for name, labels, count in samples(proxy) if name == "moongate_policy_errors_total")
        if labels["hook"] == "on_log"}
    assert sum(errors.values()) == 1
    caller.unary()


def samples(proxy):
    return [(sample.name, sample.labels, sample.value) for sample in proxy.samples()]


def test_a_wait_that_the_script_catches_raises_every_time(scripted):
    proxy, caller = scripted("""
        local moon = require "moon"
        function on_log(h)
          local _, message = pcall(moon.sleep, 1)
          h:logInfo("log " .. message)
          local _, again = pcall(moon.sleep, 1)
          h:logInfo("log " .. again)
        end""")
    caller.unary()
    caller.unary()
    lines = wait_said(proxy, "log ", 4)
    assert len(lines) == 4 and all("on_log cannot wait" in line for line in lines)


# MARK: Closing


def test_on_close_is_called_when_the_last_request_of_a_replaced_policy_is_over(moongate, upstream, connect):
    server = upstream()
    text = """
        function on_close(config) print("closed " .. config.name) error("at the end") end"""
    settings = configuration(server.address, routes=[route(policies=[{"policies/p.lua": {"name": "old"}}])])
    proxy = moongate(settings, policies={"p.lua": text})
    client = connect(proxy.address)
    stream = client.open(request())
    connection, head = server.next_request()
    proxy.write("policies/p.lua", text + "\n-- new")
    proxy.wait_generation(2)
    assert not said(proxy, "closed")
    connection.respond(head.stream)
    client.send_data(stream, b"", end_stream=True)
    client.end(stream)
    wait_said(proxy, "closed old")
    eventually(lambda: proxy.metric(
        "moongate_policy_errors_total", policy="p", hook="on_close", reason="script") > 0, 5)


SHIPS = """
    local moon = require "moon"
    local batch = {}
    function on_log(h) batch[#batch + 1] = h:headers():get("x-number") end
    function on_close(config)
      if #batch == 0 then return end
      local answer, problem = moon.http.post("logs", "/" .. config.name, table.concat(batch, " "))
      print("closed " .. config.name .. " " .. (answer and answer.status or problem))
    end"""


@pytest.fixture
def shipping(moongate, upstream, connect):
    """Starts a proxy whose policies keep what `on_log` sees and send it in `on_close`, to a slow server."""
    def start(text=SHIPS, names=("one",), pause=0.3, **more):
        def late(connection, head):
            def take():
                connection.wait_end(head.stream)
                time.sleep(pause)
                arrived[head.get(":path")] = connection.body(head.stream).decode()
                connection.send_headers(head.stream, [(":status", "204")], end_stream=True)

            threading.Thread(target=take, daemon=True).start()

        arrived = {}
        server, logs = upstream(answer_ok), upstream(late)
        proxy = moongate(
            configuration(server.address, upstreams={"logs": [logs.address]}, routes=[route(policies=[
                {"policy": "policies/p.lua", "settings": {"name": name}} for name in names])], **more),
            policies={"p.lua": text})
        proxy.arrived, proxy.logs = arrived, logs
        proxy.client = connect(proxy.address)
        return proxy

    return start


def call_three_times(proxy):
    for number in "123":
        assert proxy.client.call(request(extra=[("x-number", number)]), body=b"")[-1].get("grpc-status") == "0"


def test_on_close_sends_the_last_batch_at_a_reload(shipping):
    proxy = shipping()
    call_three_times(proxy)
    proxy.write("policies/p.lua", SHIPS + "\n-- new")
    proxy.wait_generation(2)
    assert wait_said(proxy, "closed ") == ["one 204"]
    assert proxy.arrived == {"/one": "1 2 3"}
    call_three_times(proxy)


def test_on_close_sends_the_last_batch_to_an_upstream_that_goes_with_the_policy(shipping):
    proxy = shipping()
    call_three_times(proxy)
    fresh = json.loads(json.dumps(proxy.configuration))
    fresh["routes"][0]["policies"] = []
    del fresh["upstreams"]["logs"]
    proxy.configure(fresh)
    proxy.wait_generation(2)
    assert wait_said(proxy, "closed ") == ["one 204"]
    assert proxy.arrived == {"/one": "1 2 3"}
    call_three_times(proxy)


@pytest.mark.parametrize("workers", [1, 2])
def test_on_close_of_all_policies_sends_the_last_batches_at_a_stop(shipping, workers):
    """They wait at the same time: one after the other would take longer than there is."""
    proxy = shipping(names=["one", "two", "three"], pause=0.5, workers=workers)
    call_three_times(proxy)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    # The file is one for all: its batch is what all of them have seen.
    assert {name: sorted(batch.split()) for name, batch in proxy.arrived.items()} == {
        f"/{name}": sorted("123" * 3) for name in ("one", "two", "three")}


def test_streams_that_a_stop_ends_are_in_the_last_batch(shipping):
    proxy = shipping(drain={"delay": "0s", "grace": "100ms"})
    call_three_times(proxy)
    proxy.client.open(request(extra=[("x-number", "open")]))
    eventually(lambda: proxy.metric("moongate_downstream_streams", listener="main") == 1, what="the stream")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert proxy.arrived == {"/one": "1 2 3 open"}


def test_on_close_that_does_not_end_is_given_up(shipping):
    proxy = shipping(SHIPS.replace("if #batch", "moon.sleep(30) if #batch"))
    call_three_times(proxy)
    proxy.write("policies/p.lua", SHIPS)
    proxy.wait_generation(2)
    entry = eventually(
        lambda: next((entry for entry in proxy.log_entries() if entry.get("hook") == "on_close"), None), 5)
    assert "on_close has not ended within 1000 ms" in entry["message"] and entry["policy"] == "p"
    assert proxy.metric("moongate_policy_errors_total", policy="p", hook="on_close", reason="time_limit") == 1
    call_three_times(proxy)
    assert not proxy.arrived


def test_a_stop_does_not_wait_for_on_close_for_ever(shipping):
    proxy = shipping(SHIPS.replace("if #batch", "moon.sleep(30) if #batch"))
    call_three_times(proxy)
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert 0.9 < time.monotonic() - began < 5
    assert "on_close has not ended" in "".join(proxy.lines) and "threads do not end" not in "".join(proxy.lines)


def test_a_second_signal_leaves_on_close_less_time(shipping):
    proxy = shipping(SHIPS.replace("if #batch", "moon.sleep(30) if #batch"))
    call_three_times(proxy)
    proxy.client.open(request(extra=[("x-number", "open")]))
    proxy.signal(signal.SIGTERM)
    time.sleep(0.2)
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert time.monotonic() - began < 1.5


def test_timers_have_ended_when_on_close_runs_and_new_ones_never_fire(shipping):
    proxy = shipping("""
        local moon = require "moon"
        local closed = false
        function on_init() moon.timer.every(0.01, function() if closed then print("fired late") end end) end
        function on_close()
          closed = true
          moon.timer.after(0.05, function() print("fired late") end)
          moon.sleep(0.3)
          print("closed")
        end
        function on_request() end""")
    proxy.write("policies/p.lua", SHIPS)
    proxy.wait_generation(2)
    wait_said(proxy, "closed")
    assert not said(proxy, "fired late")


CALLS_IN_LOG = [
    "moon.http.get('logs', '/')", "moon.http.request{upstream = 'logs', path = '/'}",
    "moon.parallel{{upstream = 'logs', path = '/'}}", "moon.grpc.call('logs', '/a/B', '')",
    "h:httpCall('logs', {[':method'] = 'GET', [':path'] = '/', [':authority'] = 'a'}, nil, 1000)",
]


@pytest.mark.parametrize("action", CALLS_IN_LOG)
def test_a_call_that_on_log_would_have_to_wait_for_is_refused_before_it_is_sent(shipping, action):
    proxy = shipping(f"""
        local moon = require "moon"
        function on_log(h) local _, message = pcall(function() {action} end) print("log " .. message) end""", pause=0)
    call_three_times(proxy)
    assert all(
        "on_log cannot wait" in line and "asynchronous" in line and "on_close" in line
        for line in wait_said(proxy, "log ", 3))
    time.sleep(0.2)
    assert not proxy.logs.connections or not proxy.logs.connection().heads()


ASYNCHRONOUS = """
    function on_log(h)
      h:httpCall("logs", {[":method"] = "POST", [":path"] = "/" .. h:headers():get("x-number"), [":authority"] = "a"},
                 "seen", 5000, true)
    end"""


def test_asynchronous_calls_of_on_log_arrive(shipping):
    proxy = shipping(ASYNCHRONOUS, pause=0)
    call_three_times(proxy)
    eventually(lambda: proxy.arrived == {"/1": "seen", "/2": "seen", "/3": "seen"}, what="the calls")


def test_asynchronous_calls_that_are_under_way_arrive_before_a_stop(shipping):
    proxy = shipping(ASYNCHRONOUS, pause=0.4)
    call_three_times(proxy)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert proxy.arrived == {"/1": "seen", "/2": "seen", "/3": "seen"}


# MARK: Answers


@pytest.fixture
def plain(moongate, upstream, connect):
    def start(*texts, headers=(), **options):
        server = upstream(lambda connection, head: connection.respond(head.stream, headers=headers))
        names = [f"p{number}.lua" for number in range(len(texts))]
        proxy = moongate(
            configuration(server.address, routes=[route(policies=[f"policies/{name}" for name in names])]),
            policies=dict(zip(names, texts)))
        return proxy, connect(proxy.address)

    return start


def answer(client, **options):
    frames = client.call(request(**options))
    head = next(frame for frame in frames if frame.type == "Headers")
    return head, b"".join(frame.data for frame in frames if frame.type == "Data")


def test_a_response_hook_answers_instead_of_the_upstream_and_the_hooks_left_see_it(plain):
    _, client = plain(
        """function on_response(h)
             h:headers():add("x-first", h:headers():get(":status") .. tostring(h:headers():get("x-own"))) end""",
        """function on_response(h) h:respond({[":status"] = "503", ["x-own"] = "1"}, "later") end""",
        """function on_response(h) h:headers():add("x-last", "1") end""")
    head, body = answer(client, content_type="text/plain")
    assert (head.get(":status"), head.get("x-first"), head.get("x-last"), body) == ("503", "5031", None, b"later")
    head, body = answer(client)
    assert (head.get("grpc-status"), head.get("x-first"), body) == ("14", "2001", b"")


def test_an_answer_after_a_wait_in_the_response_hook_replaces_the_upstreams(plain):
    _, client = plain(
        """local moon = require "moon"
           function on_response(h)
             moon.sleep(0.01)
             h:respond({[":status"] = "500"}, "no") end""")
    for _ in range(3):
        head, body = answer(client, content_type="text/plain")
        assert (head.get(":status"), body) == ("500", b"no")


def test_two_response_hooks_may_answer_the_last_one_wins(plain):
    _, client = plain(
        """function on_response(h) h:respond({[":status"] = "403"}, h:headers():get(":status")) end""",
        """function on_response(h) h:respond({[":status"] = "503"}, "later") end""")
    head, body = answer(client, content_type="text/plain")
    assert (head.get(":status"), body) == ("403", b"503")


def test_grpc_respond_has_status_message_details_and_metadata(scripted):
    _, caller = scripted("""
        function on_request(h)
          h:grpcRespond{status = "FAILED_PRECONDITION", message = "caf\\195\\169", details = "\\8\\9\\0",
                        metadata = {["x-why"] = "because", ["x-raw-bin"] = "\\0\\1", ["x-list"] = {"a", 2}}}
        end""")
    error = caller.refused()
    trailers = [(item.key, item.value) for item in error.trailing_metadata()]
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "café")
    for item in [("grpc-status-details-bin", b"\x08\x09\x00"), ("x-why", "because"), ("x-raw-bin", b"\x00\x01"),
                 ("x-list", "a"), ("x-list", "2")]:
        assert item in trailers


def test_grpc_respond_is_an_http_status_for_others_and_works_in_the_response_hook(plain):
    _, client = plain("""
        function on_response(h) h:grpcRespond{status = 16, message = "who", metadata = {["x-why"] = "1"}} end""")
    head, body = answer(client, content_type="text/plain")
    assert (head.get(":status"), head.get("x-why"), head.get("content-length"), body) == ("401", "1", "3", b"who")
    head, body = answer(client)
    assert (head.get(":status"), head.get("grpc-status"), head.get("grpc-message"), body) == ("200", "16", "who", b"")


@pytest.mark.parametrize("argument, message", [
    ("{}", "status is missing"), ("{status = 17}", "status must be 0 to 16"), ("{status = 'NOPE'}", "status must be"),
    ("{status = 1.5}", "status must be"), ("{status = 1, mesage = 'x'}", 'unknown field: did you mean "message"?'),
    ("{status = 1, metadata = {['grpc-status'] = '0'}}", "metadata must not have pseudo-headers"),
    ("{status = 1, metadata = {[':status'] = '0'}}", "metadata must not have pseudo-headers"),
    ("{status = 1, metadata = {['x'] = 'a\\nb'}}", "control character"),
    ("{status = 1, metadata = {['x'] = ('x'):rep(33000)}}", "too large"),
])
def test_mistakes_in_grpc_respond_are_errors(scripted, argument, message):
    proxy, caller = scripted(f"function on_request(h) h:grpcRespond{argument} end")
    assert caller.refused().code() == grpc.StatusCode.INTERNAL
    entry = eventually(lambda: next((e for e in proxy.log_entries() if e.get("hook") == "on_request"), None), 5)
    assert message in entry["message"]
