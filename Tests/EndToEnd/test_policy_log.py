"""The hooks of the end: `on_log` for every request that a policy saw, `on_close` for every use of a policy."""
import grpc
import pytest

from harness.frame_client import request
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


def test_a_wait_that_the_script_catches_raises_and_a_second_one_ends_it(scripted):
    proxy, caller = scripted("""
        local moon = require "moon"
        function on_log(h)
          local _, message = pcall(moon.sleep, 1)
          h:logInfo("log " .. message)
          pcall(moon.sleep, 1)
          h:logInfo("log never")
        end""")
    caller.unary()
    caller.unary()
    lines = wait_said(proxy, "log ", 2)
    assert len(lines) == 2 and all("on_log cannot wait" in line for line in lines)


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
