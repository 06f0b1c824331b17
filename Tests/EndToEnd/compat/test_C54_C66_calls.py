"""`httpCall()`."""
import threading

from harness.compat import lua
from harness.frames import CANCEL
from harness.lua_texts import FAILURE
from harness.recording import answer
from harness.waiting import eventually

CALL = """
local function call(h, more, body, timeout)
  local headers = {[":method"] = "POST", [":path"] = "/ask", [":authority"] = "service"}
  for name, value in pairs(more or {}) do headers[name] = value end
  return h:httpCall("service", headers, body, timeout or 5000)
end
local function show(headers)
  local names = {}
  for name in pairs(headers) do
    if not name:find("^x%-envoy") and name ~= "date" and name ~= "server" then names[#names + 1] = name end
  end
  table.sort(names)
  for index, name in ipairs(names) do
    local value = headers[name]
    names[index] = name .. "=" .. (type(value) == "table" and table.concat(value, "|") or value)
  end
  return table.concat(names, ";")
end
"""


@lua("""
function envoy_on_request(h)
  local headers, body = h:httpCall("service", {
    [":method"] = "POST", [":path"] = "/ask?x=1", [":authority"] = "asked.example",
    ["x-text"] = "t", ["x-number"] = 5, ["x-list"] = {"a", "b"},
  }, "hello world", 5000)
  h:headers():add("x-status", headers[":status"])
  h:headers():add("x-answer", headers["x-answer"])
  h:headers():add("x-body", body)
end
""")
def test_C54_the_call_as_it_is_sent(both):
    got = both.call(responders={"service": answer(201, [("x-answer", "yes")], b"from the service")})
    asked, = got.upstreams["service"]
    assert (asked[":method"], asked[":path"], asked[":authority"]) == ("POST", "/ask?x=1", "asked.example")
    assert asked["x-text"] == "t" and asked["x-number"] == "5" and asked.headers.all("x-list") == ["a", "b"]
    assert asked["content-length"] == "11" and asked.body == b"hello world"
    assert (got.seen["x-status"], got.seen["x-answer"], got.seen["x-body"]) == ("201", "yes", "from the service")


@lua(CALL + """
function envoy_on_request(h)
  local headers, body = call(h)
  h:headers():add("x-length", #body)
  h:headers():add("x-body", h:base64Escape(body))
end
""")
def test_C55_the_answer_keeps_zero_bytes_and_all_its_frames(both):
    got = both.call(responders={"service": answer(chunks=[b"a\0b", b"\0c"])})
    assert got.seen["x-length"] == "5" and got.seen["x-body"] == "YQBiAGM="


@lua("""
function envoy_on_request(h)
  local first = h:httpCall("service", {[":method"] = "POST", [":path"] = "/one", [":authority"] = "s"}, "body", 5000)
  local second = h:httpCall("service", {[":method"] = "GET", [":path"] = "/two", [":authority"] = "s"}, nil, 0)
  h:headers():add("x-both", first["x-path"] .. second["x-path"])
end
""")
def test_C56_two_calls_one_after_the_other(both):
    def path(connection, head):
        answer(headers=[("x-path", head.get(":path"))])(connection, head)

    got = both.call(responders={"service": path})
    assert got.seen["x-both"] == "/one/two"
    assert [(asked[":path"], asked.body) for asked in got.upstreams["service"]] == [("/one", b"body"), ("/two", b"")]
    assert got.upstreams["service"][1]["content-length"] is None


@lua(CALL + """
function envoy_on_request(h)
  local headers, body = call(h)
  h:headers():add("x-body", tostring(body) .. headers[":status"])
end
""")
def test_C57_an_empty_answer_has_no_body(both):
    assert both.call(responders={"service": answer(204, body=b"")}).seen["x-body"] == "nil204"


@lua(CALL + """
function envoy_on_request(h)
  call(h)
  h:headers():add("x-called", "1")
end
""")
def test_C58_body_and_trailers_wait_while_a_call_is_open(both):
    def waits(edge):
        release = threading.Event()

        def held(connection, head):
            release.wait(5)
            answer()(connection, head)

        main, service = edge.upstreams["main"], edge.upstreams["service"]
        main.begin()
        service.begin(held)
        client = edge.connect()
        stream = client.open(edge.head(method="POST"))
        client.send_data(stream, b"abc")
        client.send_headers(stream, [("x-end", "1")], end_stream=True)
        eventually(lambda: service.requests[service.first:], what="the call")
        client.ping()
        client.expect("Ping")
        assert not main.requests[main.first:]
        release.set()
        client.end(stream)
        return edge.seen()

    seen, = both.each(waits)["main"]
    assert seen.body == b"abc" and seen.trailers["x-end"] == "1" and seen["x-called"] == "1"


@lua(CALL + """
function envoy_on_request(h)
  local headers, body = h:httpCall("nobody",
    {[":method"] = "GET", [":path"] = "/", [":authority"] = "nobody"}, nil, 5000)
  h:headers():add("x-status", headers[":status"] .. type(body))
end
""", path="/nobody")
@lua(CALL + """
function envoy_on_request(h)
  local headers, body = call(h)
  h:headers():add("x-status", headers[":status"] .. type(body))
end
""", path="/reset")
@lua(CALL + """
function envoy_on_request(h)
  local headers, body = call(h, nil, nil, 50)
  h:headers():add("x-status", headers[":status"] .. type(body))
end
""", path="/late")
def test_C59_failed_calls_look_like_answers_with_503(both):
    assert both.call(path="/nobody").seen["x-status"] == "503string"
    reset = both.call(path="/reset", responders={"service": lambda connection, head: connection.reset(head.stream)})
    assert reset.seen["x-status"] == "503string"
    for edge in both.edges:
        late = threading.Event()
        status = edge.call(path="/late", responders={"service": lambda connection, head, late=late: late.wait(0.5)})
        assert status.seen["x-status"] in ("504string", "503string")


@lua(CALL + """
function envoy_on_request(h)
  call(h)
  h:logInfo("never")
end
""")
def test_C60_a_reset_request_cancels_the_call(both):
    def cancelled(edge):
        service = edge.upstreams["service"]
        service.begin(lambda connection, head: connection.wait_end(head.stream))
        client = edge.connect()
        stream = client.open(edge.head(), end_stream=True)
        eventually(lambda: service.requests[service.first:], what="the call")
        connection, head = service.requests[-1]
        client.reset(stream, CANCEL)
        connection.wait_for(
            lambda frame: frame.type == "RstStream" and frame.stream == head.stream, what="reset of the call")

    both.each(cancelled)
    both.logs()


@lua(FAILURE + """
function envoy_on_request(h)
  local good = {[":method"] = "GET", [":path"] = "/", [":authority"] = "s"}
  local function try(...)
    local given, count = {...}, select("#", ...)
    h:logInfo(failure(function() h:httpCall((table.unpack or unpack)(given, 1, count)) end))
  end
  try("service", good, nil, -1)
  try("unknown", good, nil, 100)
  try("service", {}, nil, 100)
  try("service", {[":path"] = "/", [":authority"] = "s"}, nil, 100)
  try("service", good, nil, {timeout_ms = 100, wrong = 1})
  try("service", good, nil, 100, "yes")
  try("service", good, nil, 100, nil)
  try("service", good, nil)
  try("service", good, nil, "x")
  try("service", good, {}, 100)
  try("service", "x", nil, 100)
  try("service", {[":method"] = "GET", [":path"] = "/", [":authority"] = "s", ["x-a"] = true}, nil, 100)
  try("service", good, nil, {timeout_ms = "x"})
  try("service", good, nil, {timeout_ms = -1})
end
""")
def test_C61_wrong_calls_raise(both):
    assert both.call().status == 200
    missing = "http call headers must include ':path', ':method', and ':authority'"
    flag = "http call asynchronous flag must be 'true', 'false', or empty"
    for edge in both.edges:
        # We do not quote arguments.
        texts = [entry[1].replace('"wrong"', '"(hidden)"') for entry in edge.settled_log(14)]
        assert texts[:11] == [
            "http call timeout must be >= 0", "http call cluster invalid. Must be configured", missing, missing,
            '"(hidden)" is not valid key for httpCall() options', flag, flag,
            "bad argument #4 to 'httpCall' (number expected, got no value)",
            "bad argument #4 to 'httpCall' (number expected, got string)",
            "bad argument #3 to 'httpCall' (string expected, got table)",
            "bad argument #2 to 'httpCall' (table expected, got string)"], edge.name
        assert len(texts) == 14 and "none" not in texts, edge.name


@lua(CALL + """
function envoy_on_request(h)
  local headers = {[":method"] = "GET", [":path"] = "/argument", [":authority"] = "s"}
  h:headers():add("x-results", select("#", h:httpCall("service", headers, nil, 1000, true)))
  headers[":path"] = "/option"
  h:headers():add("x-results", select("#", h:httpCall("service", headers, "b", {timeout_ms = 1000, asynchronous = true})))
end
""")
def test_C62_asynchronous_calls_do_not_wait(both):
    def asynchronous(edge):
        release = threading.Event()

        def held(connection, head):
            release.wait(5)
            answer()(connection, head)

        main, service = edge.upstreams["main"], edge.upstreams["service"]
        main.begin()
        service.begin(held)
        client = edge.connect()
        stream = client.open(edge.head(), end_stream=True)
        client.end(stream)
        eventually(lambda: len(service.requests) == service.first + 2, what="both calls")
        release.set()
        seen = edge.seen()
        return seen["main"], sorted((asked[":path"], asked.body) for asked in seen["service"])

    (seen,), asked = both.each(asynchronous)
    assert seen.headers.all("x-results") == ["0", "0"] and asked == [("/argument", b""), ("/option", b"b")]


@lua(CALL + """
function envoy_on_request(h)
  local target = {[":method"] = "GET", [":path"] = "/", [":authority"] = "s"}
  local last = h:httpCall("service", target, nil, 1000)
  local all = h:httpCall("service", target, nil, {timeout_ms = 1000, return_duplicate_headers = true})
  h:headers():add("x-last", show(last))
  h:headers():add("x-all", show(all))
  h:headers():add("x-type", type(all["x-many"]) .. type(all["x-one"]))
end
""")
def test_C63_repeated_headers_of_the_answer(both):
    repeated = answer(headers=[("x-many", "1"), ("x-many", "2"), ("x-one", "1")])
    seen = both.call(responders={"service": repeated}).seen
    assert seen["x-last"] == ":status=200;x-many=2;x-one=1"
    assert seen["x-all"] == ":status=200;x-many=1|2;x-one=1" and seen["x-type"] == "tablestring"


@lua(CALL + """
function envoy_on_request(h)
  call(h)
  h:headers():add("x-before", "1")
  error("after the call")
end
""")
def test_C64_an_error_behind_a_call_lets_the_request_go_on(both):
    got = both.call(body=b"abc")
    assert got.seen.body == b"abc" and got.seen["x-before"] == "1" and got.status == 200
    both.errors(1)


@lua(CALL + """
function envoy_on_request(h)
  local headers, body = call(h)
  h:respond({[":status"] = headers[":status"], ["x-from"] = "service"}, body)
end
""")
def test_C65_a_call_and_then_respond(both):
    got = both.call(body=b"abc", responders={"service": answer(403, body=b"the service says no")})
    assert (got.status, got["x-from"], got.body) == (403, "service", b"the service says no")
    assert list(got.upstreams) == ["service"]
    grpc = both.call(grpc=True, body=b"\0\0\0\0\0", responders={"service": answer(401, body=b"who")})
    assert grpc["grpc-status"] == "16" and grpc["grpc-message"] == "who"


@lua(CALL + """
function envoy_on_response(h)
  local headers, body = call(h)
  h:headers():add("x-called", headers[":status"] .. body)
end
""")
def test_C66_a_call_in_the_response_hook(both):
    got = both.call(responders={"service": answer(202, body=b"later")})
    assert got["x-called"] == "202later" and got.body == b"hello"


@lua(CALL + """
function envoy_on_request(h)
  local ok, headers = pcall(call, h)
  h:headers():add("x-ok", tostring(ok) .. headers[":status"])
  local status = coroutine.wrap(function() return 5 end)()
  h:headers():add("x-coroutine", status)
end
""")
def test_a_call_in_pcall(both):
    assert both.call().seen["x-ok"] == "true200"


@lua(CALL + """
function envoy_on_request(h)
  local length = h:body():length()
  local headers = call(h, {["x-length"] = length})
  local body = h:body()
  h:headers():add("x-length", body:length() .. headers[":status"])
  body:setBytes("changed")
end
""")
def test_body_and_call_in_one_hook(both):
    got = both.call(chunks=[b"ab", b"cd"])
    assert got.seen["x-length"] == "4200" and got.seen.body == b"changed"
    assert got.upstreams["service"][0]["x-length"] == "4"
