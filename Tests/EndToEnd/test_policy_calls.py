"""Calls that policies make to upstreams: `handle:httpCall`, `moon.http`, `moon.grpc`, `moon.parallel`."""
import json
import threading

import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.frames import CANCEL, REFUSED_STREAM, message
from harness.settings import configuration, route
from harness.waiting import eventually

from hyperframe.frame import GoAwayFrame, RstStreamFrame


def answer(connection, head, status="200", body=b"", headers=(), trailers=()):
    """A plain HTTP answer."""
    connection.send_headers(head.stream, [(":status", status), *headers], end_stream=not body and not trailers)
    if body:
        connection.send_allowed(head.stream, body, end_stream=not trailers)
    if trailers:
        connection.send_headers(head.stream, list(trailers), end_stream=True)


def body_of(connection, stream):
    connection.wait_end(stream)
    return b"".join(frame.data for frame in connection.of_stream(stream) if frame.type == "Data")


@pytest.fixture
def calling(moongate, upstream, connect):
    """Starts a proxy whose one policy has this text, before an upstream that answers, with `auth` beside it.

    Gives the proxy, a frame-level client and the upstream `auth`, which runs `script`.
    """
    def start(text, script=None, auth=None, settings=None, policies=None, **more):
        server = upstream(answer_ok)
        auth = auth or upstream(script)
        policy = {"policy": "policies/test.lua", **({"settings": settings} if settings else {})}
        proxy = moongate(
            configuration(server.address, routes=[route(policies=[policy])], upstreams={"auth": [auth.address]},
                          policies=policies or {}, **more),
            policies={"test.lua": text})
        proxy.server = server
        return proxy, connect(proxy.address), auth

    return start


def head_of(frames):
    return next(frame for frame in frames if frame.type == "Headers")


CALL = """
  local headers, body = handle:httpCall("auth", {
    [":method"] = "POST", [":path"] = "/check", [":authority"] = "auth.example", ["x-list"] = {"a", "b"},
    ["x-number"] = 5}, %s, 5000)
"""


def test_C54_the_request_arrives_as_the_script_made_it(calling):
    _, client, auth = calling(f"""
        function envoy_on_request(handle)
          {CALL % '"hello"'}
          handle:headers():add("x-status", headers[":status"])
          handle:headers():add("x-body", body)
          handle:headers():add("x-from", headers["x-from"])
        end""", lambda connection, head: answer(connection, head, "418", b"tea", [("x-from", "auth")]))
    seen = head_of(client.call(request()))
    assert seen.get("x-seen-x-status") == "418" and seen.get("x-seen-x-body") == "tea"
    assert seen.get("x-seen-x-from") == "auth"
    asked = auth.heads()[0]
    assert [name for name, _ in asked.headers if name.startswith(":")] == [name for name, _ in asked.headers][:4]
    assert asked.get(":method") == "POST" and asked.get(":path") == "/check"
    assert asked.get(":authority") == "auth.example" and asked.get(":scheme") == "http"
    assert asked.all("x-list") == ["a", "b"] and asked.get("x-number") == "5"
    assert asked.get("content-length") == "5" and asked.get("x-envoy-internal") == "true"
    assert asked.get("x-envoy-expected-rq-timeout-ms") == "5000" and asked.get("x-forwarded-for")
    assert body_of(auth.connection(), asked.stream) == b"hello"


@pytest.mark.parametrize("size", [70_000, 700_000])
def test_C55_bodies_of_any_bytes_go_both_ways(calling, size):
    sent = bytes(range(256)) * (size // 256)

    def echo(connection, head):
        answer(connection, head, body=body_of(connection, head.stream))

    _, client, _ = calling(f"""
        local bytes = {{}}
        for i = 0, 255 do bytes[i + 1] = string.char(i) end
        local text = table.concat(bytes):rep({size // 256})
        function on_request(handle)
          {CALL % "text"}
          handle:respond({{[":status"] = "200"}}, body == text and #body .. " same" or "different")
        end""", echo)
    frames = client.call(request(content_type="text/plain"))
    assert b"".join(frame.data for frame in frames) == b"%d same" % len(sent)


def test_C56_C57_calls_in_sequence_and_an_empty_answer(calling):
    _, client, auth = calling(f"""
        function on_request(handle)
          {CALL % '"one"'}
          local second, none = handle:httpCall("auth",
            {{[":method"] = "GET", [":path"] = "/two", [":authority"] = "auth"}}, nil, 0)
          handle:headers():add("x-bodies", tostring(body) .. tostring(none) .. second[":status"])
        end""", lambda connection, head: answer(connection, head, body=b"first" if head.get(":path") == "/check" else b""))
    assert head_of(client.call(request())).get("x-seen-x-bodies") == "firstnil200"
    two = auth.heads()[1]
    assert two.get("content-length") is None and two.get("x-envoy-expected-rq-timeout-ms") is None
    assert two.ends_stream


def test_C58_a_request_body_that_comes_while_a_call_waits_arrives_whole(calling):
    hold = threading.Event()

    def script(connection, head):
        hold.wait(10)
        answer(connection, head)

    proxy, client, _ = calling(f"function on_request(handle) {CALL % 'nil'} end", script)
    stream = client.open(request())
    sent = bytes(range(256)) * 200
    client.send_data(stream, sent[:20_000])
    client.send_data(stream, sent[20_000:], end_stream=True)
    hold.set()
    client.answer(stream)
    head = proxy.server.heads()[0]
    assert body_of(proxy.server.connection(), head.stream) == sent


@pytest.mark.parametrize("failure", ["refused", "reset", "closed"])
def test_C59_a_call_that_fails_is_a_503_of_its_own(calling, upstream, failure):
    def script(connection, head):
        if failure == "reset":
            connection.send(RstStreamFrame(head.stream, error_code=CANCEL))
        else:
            connection.close()

    auth = upstream(script)
    if failure == "refused":
        auth.close()
    _, client, _ = calling(f"""
        function on_request(handle)
          {CALL % 'nil'}
          handle:headers():add("x-result", headers[":status"] .. " " .. body)
        end""", auth=auth)
    assert head_of(client.call(request())).get("x-seen-x-result") == "503 upstream failure"


def test_a_call_that_takes_too_long_is_a_504_as_in_envoy(calling):
    _, client, auth = calling("""
        function on_request(handle)
          local headers, body = handle:httpCall("auth",
            {[":method"] = "GET", [":path"] = "/", [":authority"] = "auth"}, nil, {timeout_ms = "50"})
          handle:headers():add("x-result", headers[":status"] .. " " .. body)
        end""")
    assert head_of(client.call(request())).get("x-seen-x-result") == "504 upstream request timeout"
    connection, head = auth.next_request()
    assert connection.wait_for(lambda frame: frame.type == "RstStream", 5, "reset").code == CANCEL
    assert head.stream == 1


def test_C60_a_client_that_goes_away_ends_the_call_and_the_hook(calling):
    proxy, client, auth = calling(f"""
        function on_request(handle)
          {CALL % 'nil'}
          handle:logErr("resumed")
        end""")
    stream = client.open(request(), end_stream=True)
    connection, head = auth.next_request()
    client.send(RstStreamFrame(stream, error_code=CANCEL))
    assert connection.wait_for(lambda frame: frame.type == "RstStream", 5, "reset").stream == head.stream
    answer(connection, head)
    other = client.open(request(), end_stream=True)
    connection, head = auth.next_request()
    answer(connection, head)
    client.answer(other)
    proxy.stop()      # what it has logged is out then
    assert sum("resumed" in line for line in proxy.lines) == 1


@pytest.mark.parametrize("arguments, text", [
    ('"auth", {}, nil, -1', "http call timeout must be >= 0"),
    ('"nosuch", {[":path"]="/",[":method"]="GET",[":authority"]="a"}, nil, 5',
     "http call cluster invalid. Must be configured"),
    ('"auth", {[":path"]="/",[":method"]="GET"}, nil, 5',
     "http call headers must include ':path', ':method', and ':authority'"),
    ('"auth", {}, nil, {nosuch = 1}', '"(hidden)" is not valid key for httpCall() options'),
    ('"auth", {}, nil, {timeout_ms = -1}', "http call timeout must be >= 0"),
    ('"auth", {}, nil, 5, "yes"', "http call asynchronous flag must be 'true', 'false', or empty"),
    ('"auth", {}, nil, 5, nil', "http call asynchronous flag must be 'true', 'false', or empty"),
    ('"auth", {}, nil', "bad argument #4 to 'httpCall' (number expected, got no value)"),
    ('"auth", {}, nil, "soon"', "bad argument #4 to 'httpCall' (number expected, got string)"),
    ('"auth", "head", nil, 5', "bad argument #2 to 'httpCall' (table expected, got string)"),
    ('"auth", {[":path"]="/",[":method"]="GET",[":authority"]="a",["x"]=true}, nil, 5', "the value of a header must be a text"),
    ('"auth", {[":path"]="/",[":method"]="GET",[":authority"]="a",["x"]="a\\r\\nb"}, nil, 5', "control character"),
])
def test_C61_wrong_arguments_raise_errors(calling, arguments, text):
    _, client, auth = calling(f"""
        function on_request(handle)
          local ok, problem = pcall(handle.httpCall, handle, {arguments})
          handle:headers():add("x-problem", problem)
        end""")
    assert text in head_of(client.call(request())).get("x-seen-x-problem")
    assert not auth.heads()


@pytest.mark.parametrize("last", ["5000, true", "{timeout_ms = 5000, asynchronous = true}"])
def test_C62_an_asynchronous_call_does_not_wait_and_returns_nothing(calling, last):
    _, client, auth = calling(f"""
        function on_request(handle)
          local count = select("#", handle:httpCall("auth",
            {{[":method"] = "POST", [":path"] = "/tell", [":authority"] = "auth"}}, "news", {last}))
          handle:headers():add("x-results", count)
        end""")
    assert head_of(client.call(request())).get("x-seen-x-results") == "0"
    connection, head = auth.next_request()             # never answered, and the request is over
    assert head.get(":path") == "/tell" and body_of(connection, head.stream) == b"news"
    assert not [frame for frame in connection.of_stream(head.stream) if frame.type == "RstStream"]


@pytest.mark.parametrize("duplicates, shown", [("false", "two"), ("true", "one|two")])
def test_C63_repeated_headers_give_the_last_value_or_a_list(calling, duplicates, shown):
    _, client, auth = calling(f"""
        function on_request(handle)
          local headers = handle:httpCall("auth", {{[":method"] = "GET", [":path"] = "/", [":authority"] = "auth"}}, nil,
            {{timeout_ms = 5000, return_duplicate_headers = {duplicates}, send_xff = false, trace_sampled = true}})
          local value = headers["x-many"]
          handle:headers():add("x-result", type(value) == "table" and table.concat(value, "|") or value)
        end""", lambda connection, head: answer(connection, head, headers=[("x-many", "one"), ("x-many", "two")]))
    assert head_of(client.call(request())).get("x-seen-x-result") == shown
    assert auth.heads()[0].get("x-forwarded-for") is None


def test_C64_an_error_behind_a_call_is_an_error_of_the_hook(calling):
    proxy, client, _ = calling(
        f"function on_request(handle) {CALL % 'nil'} error('after the call') end", answer)
    assert head_of(client.call(request())).get("grpc-status") == "13"
    eventually(lambda: any("after the call" in line for line in proxy.lines), 5, what="the error in the log")


def test_C65_the_answer_to_a_call_decides_about_a_reply(calling):
    _, client, _ = calling(f"""
        function on_request(handle)
          {CALL % 'nil'}
          if headers[":status"] ~= "200" then handle:respond({{[":status"] = headers[":status"]}}, body) end
        end""", lambda connection, head: answer(connection, head, "403", b"not you"))
    head = head_of(client.call(request()))
    assert head.get("grpc-status") == "7" and head.get("grpc-message") == "not you"


def test_C66_the_response_hook_calls_too(calling):
    _, client, _ = calling("""
        function envoy_on_response(handle)
          local headers = handle:httpCall("auth",
            {[":method"] = "GET", [":path"] = "/", [":authority"] = "auth"}, nil, 5000)
          handle:headers():add("x-call", headers[":status"])
        end""", lambda connection, head: answer(connection, head, "202"))
    assert head_of(client.call(request())).get("x-call") == "202"


def test_streams_that_were_not_processed_are_tried_once_more(calling):
    refused = []

    def script(connection, head):
        if not refused:
            refused.append(head)
            return connection.send(GoAwayFrame(0, last_stream_id=0))
        return answer(connection, head, body=body_of(connection, head.stream))

    _, client, auth = calling(f"""
        function on_request(handle)
          {CALL % '"again"'}
          handle:headers():add("x-result", headers[":status"] .. body)
        end""", script)
    assert head_of(client.call(request())).get("x-seen-x-result") == "200again"
    assert len(auth.connections) == 2


def test_a_stream_that_is_refused_twice_is_a_failure(calling):
    _, client, auth = calling(
        f"""
        function on_request(handle)
          {CALL % 'nil'}
          handle:headers():add("x-result", headers[":status"])
        end""", lambda connection, head: connection.send(RstStreamFrame(head.stream, error_code=REFUSED_STREAM)))
    assert head_of(client.call(request())).get("x-seen-x-result") == "503"
    assert len(auth.heads()) == 2


# moon.http


def test_moon_http_gives_status_headers_body_and_trailers(calling):
    _, client, auth = calling("""
        local moon = require "moon"
        function on_request(handle)
          local got = assert(moon.http.request{upstream = "auth", path = "/a?b", method = "PUT", authority = "a.example",
            headers = {["X-One"] = 1, ["x-two"] = {"a", "b"}}, body = "in\\0side", timeout = 2.5})
          handle:respond({[":status"] = "200"}, table.concat({
            math.type(got.status), got.status, got.headers["x-a"], table.concat(got.headers["x-b"], "+"),
            #got.body, got.trailers["x-t"], tostring(got.headers[":status"])}, " "))
        end""", lambda connection, head: answer(
            connection, head, "201", b"a\0b", [("x-a", "1"), ("x-b", "2"), ("x-b", "3")], [("x-t", "4")]))
    frames = client.call(request(content_type="text/plain"))
    assert b"".join(frame.data for frame in frames) == b"integer 201 1 2+3 3 4 nil"
    asked = auth.heads()[0]
    assert asked.get(":method") == "PUT" and asked.get(":path") == "/a?b" and asked.get(":authority") == "a.example"
    assert asked.get("x-one") == "1" and asked.all("x-two") == ["a", "b"] and asked.get("content-length") == "7"
    assert not [name for name, _ in asked.headers if name.startswith("x-envoy") or name == "x-forwarded-for"]
    assert body_of(auth.connection(), asked.stream) == b"in\0side"


def test_moon_http_get_and_post(calling):
    _, client, auth = calling("""
        local moon = require "moon"
        function on_request(handle)
          local got = moon.http.get("auth", "/get", {headers = {["x-a"] = "1"}})
          local posted = moon.http.post("auth", "/post", "data", {timeout = 3})
          handle:headers():add("x-result", got.body .. posted.body)
        end""", lambda connection, head: answer(connection, head, body=head.get(":method").encode()))
    assert head_of(client.call(request())).get("x-seen-x-result") == "GETPOST"
    assert auth.heads()[0].get(":authority") == "auth" and auth.heads()[0].get("x-a") == "1"


@pytest.mark.parametrize("script, limit, reason", [
    (lambda connection, head: None, "1MiB", "timeout"),
    (lambda connection, head: connection.send(RstStreamFrame(head.stream, error_code=CANCEL)), "1MiB",
     "reset: HTTP/2 error code 8"),
    (lambda connection, head: connection.close(), "1MiB", "reset: "),
    (lambda connection, head: answer(connection, head, body=b"x" * 5001), "5000B", "the response is too large"),
], ids=["timeout", "reset", "closed", "large"])
def test_moon_http_says_why_there_is_no_answer(calling, script, limit, reason):
    _, client, _ = calling("""
        function on_request(handle)
          local got, problem = moon.http.get("auth", "/", {timeout = 0.2})
          handle:headers():add("x-result", tostring(got) .. " " .. problem)
        end""", script, policies={"call_limit": limit})
    assert head_of(client.call(request())).get("x-seen-x-result").startswith("nil " + reason)


def test_moon_http_says_that_nobody_listens(calling, upstream):
    auth = upstream()
    auth.close()
    _, client, _ = calling("""
        function on_request(handle)
          local got, problem = moon.http.get("auth", "/")
          handle:headers():add("x-result", tostring(got) .. " " .. problem)
        end""", auth=auth)
    for _ in range(2):          # the second finds the endpoint known as unusable
        result = head_of(client.call(request())).get("x-seen-x-result")
        assert result.startswith("nil unavailable: ") and "Connection refused" in result


@pytest.mark.parametrize("call, text", [
    ('moon.http.get("nosuch", "/")', "moon.http.get: upstream names no upstream"),
    ('moon.http.get("auth", "no slash")', "':path' must begin with a slash"),
    ('moon.http.request{upstream = "auth"}', "moon.http.request: path is missing"),
    ('moon.http.request{upstream = "auth", path = "/", paht = 1}', 'unknown field: did you mean "path"?'),
    ('moon.http.get("auth", "/", {timeout = 0})', "timeout must be a number of seconds"),
    ('moon.http.get("auth", "/", {timeout = 0/0})', "timeout must be a number of seconds"),
    ('moon.http.get("auth", "/", {headers = {connection = "close"}})', "do not exist in HTTP/2"),
    ('moon.http.get("auth", "/", {body = {}})', "body must be a text"),
    ('moon.parallel{{upstream = "auth", path = "/"}, {upstream = "auth"}}', "request 2: path is missing"),
    ('moon.parallel("auth")', "bad argument #1 to 'parallel' (table expected, got string)"),
    ('moon.grpc.call("nosuch", "/a/B", "")', "argument 1 names no upstream"),
    ('moon.grpc.call("auth", "/a/B", "", {deadline = 1})', "unknown option (known: forward, metadata, timeout)"),
])
def test_wrong_values_raise_errors(calling, call, text):
    _, client, auth = calling(f"""
        function on_request(handle)
          local ok, problem = pcall(function() return {call} end)
          handle:headers():add("x-problem", problem)
        end""")
    assert text in head_of(client.call(request())).get("x-seen-x-problem")
    assert not auth.heads()


def test_parallel_calls_run_at_the_same_time_and_answer_in_order(calling):
    proxy, client, auth = calling("""
        function on_request(handle)
          local list = {}
          for i = 1, 8 do list[i] = {upstream = "auth", path = "/" .. i, timeout = 2} end
          local texts = {}
          for i, got in ipairs(moon.parallel(list)) do texts[i] = got.error or got.body end
          handle:headers():add("x-result", table.concat(texts, " "))
        end""")
    stream = client.open(request(), end_stream=True)
    heads = [auth.next_request() for _ in range(8)]       # all of them, before any has an answer
    for connection, head in reversed(heads):
        if head.get(":path") == "/3":
            connection.send(RstStreamFrame(head.stream, error_code=CANCEL))
        else:
            answer(connection, head, body=head.get(":path").encode())
    seen = head_of(client.answer(stream)).get("x-seen-x-result")
    assert seen == "/1 /2 reset: HTTP/2 error code 8 /4 /5 /6 /7 /8"


def test_calls_of_one_request_are_limited(calling):
    _, client, auth = calling("""
        function on_request(handle)
          for i = 1, 4 do
            local ok, problem = pcall(handle.httpCall, handle, "auth",
              {[":method"] = "GET", [":path"] = "/", [":authority"] = "auth"}, nil, 5000, true)
            if not ok then handle:headers():add("x-problem", i .. " " .. problem) end
          end
        end""", policies={"calls_per_request": 3})
    seen = head_of(client.call(request()))
    assert seen.get("x-seen-x-problem") == "4 more than 3 calls at a time (policies.calls_per_request)"
    for _ in range(3):
        auth.next_request()


def test_calls_of_a_worker_are_limited(calling):
    _, client, auth = calling("""
        function on_request(handle)
          local got, problem = moon.http.get("auth", "/")
          handle:headers():add("x-result", got and got.body or problem)
        end""", policies={"calls_per_worker": 1})
    first = client.open(request(), end_stream=True)
    connection, head = auth.next_request()
    assert head_of(client.call(request())).get("x-seen-x-result") == "unavailable: too many calls at a time"
    answer(connection, head, body=b"served")
    assert head_of(client.answer(first)).get("x-seen-x-result") == "served"


# Generations


def test_a_reload_while_a_call_waits_leaves_the_request_its_generation(calling):
    text = """
        function on_request(handle)
          local got, problem = moon.http.get("auth", "/%s")
          handle:headers():add("x-result", "%s " .. (got and got.body or problem))
        end"""
    proxy, client, auth = calling(text % ("old", "old"))
    stream = client.open(request(), end_stream=True)
    connection, head = auth.next_request()
    proxy.write("policies/test.lua", text % ("new", "new"))
    proxy.wait_generation(2)
    answer(connection, head, body=b"answer")
    assert head_of(client.answer(stream)).get("x-seen-x-result") == "old answer"
    other = client.open(request(), end_stream=True)
    connection, head = auth.next_request()
    assert head.get(":path") == "/new"
    answer(connection, head, body=b"answer")
    assert head_of(client.answer(other)).get("x-seen-x-result") == "new answer"


def test_an_upstream_that_a_reload_takes_away_still_answers_the_call(calling):
    proxy, client, auth = calling("""
        function on_request(handle)
          local ok, got = pcall(moon.http.get, "auth", "/")
          handle:headers():add("x-result", ok and got.body or got)
          local ok, again = pcall(moon.http.get, "auth", "/again")
          handle:headers():add("x-again", ok and again.body or again)
        end""")
    stream = client.open(request(), end_stream=True)
    connection, head = auth.next_request()
    settings = json.loads(json.dumps(proxy.configuration))
    del settings["upstreams"]["auth"]
    proxy.configure(settings)
    proxy.wait_generation(2)
    answer(connection, head, body=b"answer")
    connection, head = auth.next_request()
    answer(connection, head, body=b"second")
    seen = head_of(client.answer(stream))
    assert seen.get("x-seen-x-result") == "answer" and seen.get("x-seen-x-again") == "second"
    assert "upstream names no upstream" in head_of(client.call(request())).get("x-seen-x-result")


def test_an_upstream_that_a_policy_names_must_be_configured(calling):
    proxy, client, _ = calling("""
        local moon = require "moon"
        local upstream
        function on_init(config) upstream = moon.upstream(config.upstream) end
        function on_request(handle) handle:headers():add("x-result", moon.http.get(upstream, "/").body) end""",
        lambda connection, head: answer(connection, head, body=b"ok"), settings={"upstream": "auth"})
    assert head_of(client.call(request())).get("x-seen-x-result") == "ok"
    settings = json.loads(json.dumps(proxy.configuration))
    settings["upstreams"]["other"] = settings["upstreams"].pop("auth")
    proxy.configure(settings)
    assert "unknown upstream (known: main, other)" in proxy.refused_reload()
    assert head_of(client.call(request())).get("x-seen-x-result") == "ok"


# moon.grpc


def test_a_grpc_call_gives_message_and_status(moongate, backend, client):
    proxy = moongate(
        configuration(backend.address, routes=[route(policies=["policies/test.lua"])]), policies={"test.lua": """
        function on_request(handle)
          local bytes, info = moon.grpc.call("main", "/moongate.test.Probe/Unary", "",
            {timeout = 2, metadata = {["x-text"] = "t", ["x-bytes-bin"] = "\\0\\255"}})
          handle:headers():add("x-result", #bytes .. " " .. info.status .. " " .. type(info.trailers))
        end"""})
    seen = seen_metadata(client(proxy.address).unary())
    size, status, trailers = seen["x-result"][0].decode().split()
    assert int(size) > 0 and status == "0" and trailers == "table"


@pytest.mark.parametrize("script, shown", [
    (lambda connection, head: connection.send(*connection.headers_frames(
        head.stream, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5"),
                      ("grpc-message", "no%20such%20user")], end_stream=True)), "NOT_FOUND: no such user 5"),
    (lambda connection, head: answer(connection, head, "503", b"busy"),
     "HTTP status 503 without grpc-status 14"),
    (lambda connection, head: connection.respond(head.stream, body=b""),
     "the answer is not one message without compression 13"),
    (lambda connection, head: connection.respond(head.stream, body=message(b"a") + message(b"b")),
     "the answer is not one message without compression 13"),
    (lambda connection, head: None, "timeout 4"),
], ids=["status", "http", "no message", "two messages", "timeout"])
def test_a_grpc_call_that_fails_says_why(calling, script, shown):
    _, client, auth = calling("""
        function on_request(handle)
          local bytes, problem, info = moon.grpc.call("auth", "/a.B/C", "in", {timeout = 0.3})
          handle:headers():add("x-result", tostring(bytes) .. " " .. problem .. " " .. info.status)
        end""", script)
    assert head_of(client.call(request())).get("x-seen-x-result") == "nil " + shown
    asked = auth.heads()[0]
    assert asked.get("te") == "trailers" and asked.get("content-type") == "application/grpc"
    assert asked.get("grpc-timeout") and body_of(auth.connection(), asked.stream) == message(b"in")


# Many


def test_a_thousand_calls_at_a_time_leave_nothing_behind(calling):
    proxy, client, auth = calling("""
        function on_request(handle)
          local got, problem = moon.http.get("auth", "/", {timeout = 30})
          handle:headers():add("x-result", got and got.body or problem)
        end""", listeners=[{"name": "main", "address": "127.0.0.1:0", "max_concurrent_streams": 2000}],
        # The waiting runs of one client may hold an eighth of it.
        policies={"memory_limit": "256MiB"})
    eventually(lambda: client.frames, 5, what="the proxy's settings")
    streams = [client.open(request(), end_stream=True) for _ in range(1000)]
    heads = [auth.next_request(timeout=30) for _ in range(1000)]
    for stream in streams[::10]:
        client.send(RstStreamFrame(stream, error_code=CANCEL))
    for connection, head in heads:
        answer(connection, head, body=b"ok")
    for number, stream in enumerate(streams):
        if number % 10:
            assert head_of(client.answer(stream, timeout=30)).get("x-seen-x-result") == "ok"
    eventually(lambda: proxy.metric("moongate_upstream_open_streams") == 0, 10, what="no stream is left")
