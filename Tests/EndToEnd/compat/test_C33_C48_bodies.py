"""`body()` and `bodyChunks()`."""
from harness.compat import differs, lua
from harness.frame_upstream import OK, RESPONSE
from harness.frames import message
from harness.lua_texts import FAILURE
from harness.recording import answer, outcome
from harness.waiting import eventually


def paced(edge, parts, path="/", trailers=None):
    """Sends each part of a body only when the upstream has got the one before, and returns the outcome."""
    main = edge.upstreams["main"]
    main.begin()
    client = edge.connect()
    stream = client.open(edge.head(path, "POST"))
    for number, part in enumerate(parts):
        client.send_data(stream, part, end_stream=number == len(parts) - 1 and trailers is None)
        arrived = sum(map(len, parts[:number + 1]))
        eventually(lambda arrived=arrived: main.requests[main.first:] and received(main) >= arrived, 5, 0.002,
                   what=f"{arrived} bytes at the upstream")
    if trailers is not None:
        client.send_headers(stream, trailers, end_stream=True)
    return outcome(client.answer(stream), edge.seen())


def received(upstream):
    """Octets of the body of the newest request."""
    connection, head = upstream.requests[-1]
    return len(connection.body(head.stream))


def writing_refused(name):
    """A piece of a script that tells what writing to the headers of the hook says."""
    return f"""
    h:logInfo("{name} add " .. failure(function() h:headers():add("x-late", "1") end))
    h:logInfo("{name} replace " .. failure(function() h:headers():replace("x-late", "1") end))
    h:logInfo("{name} remove " .. failure(function() h:headers():remove("x-late") end))
    h:logInfo("{name} get " .. tostring((h:headers():get("x-there"))))
    for _ in pairs(h:headers()) do end
"""


@lua(FAILURE + """
function envoy_on_request(h)
  for chunk in h:bodyChunks() do end
""" + writing_refused("request") + """
end
function envoy_on_response(h)
  for chunk in h:bodyChunks() do end
""" + writing_refused("response") + """
end
""")
def test_C21_headers_that_have_been_sent_can_be_read_but_not_written(both):
    got = both.call(body=b"abc", headers=[("x-there", "1")], responders={"main": answer(headers=[("x-there", "2")])})
    assert got.status == 200 and got.seen["x-late"] is None and got["x-late"] is None
    both.logs(*[("info", text) for kind, there in (("request", "1"), ("response", "2")) for text in (
        *[f"{kind} {what} header map can no longer be modified" for what in ("add", "replace", "remove")],
        f"{kind} get {there}")])


@lua(FAILURE + """
function envoy_on_request(h)
  local headers = h:headers()
  h:logInfo(failure(function()
    for name in pairs(headers) do h:body() end
  end))
end
""")
def test_C26_pairs_across_a_wait_raises(both):
    assert both.call(body=b"abc").status == 200
    both.logs(("info", "object used outside of proper scope"))


@lua("""
function envoy_on_request(h)
  local body = h:body()
  h:headers():add("x-length", body:length())
  h:headers():add("x-bytes", body:getBytes(0, body:length()))
end
function envoy_on_response(h)
  local length = h:body():length()
  h:headers():add("x-length", length)
end
""")
def test_C33_body_waits_for_all_frames(both):
    got = both.call(chunks=[b"hello ", b"world", b"!"], responders={"main": answer(chunks=[b"abc", b"de"])})
    assert got.seen["x-length"] == "12" and got.seen["x-bytes"] == "hello world!" and got.seen.body == b"hello world!"
    assert got["x-length"] == "5" and got.body == b"abcde"


@lua("""
function envoy_on_request(h)
  local body = h:body()
  h:headers():add("x-body", tostring(body))
end
function envoy_on_response(h)
  local body = h:body()
  h:headers():add("x-body", tostring(body))
end
""")
def test_C34_no_body_is_nil(both):
    got = both.call(responders={"main": answer(204, body=b"")})
    assert got.seen["x-body"] == "nil" and got["x-body"] == "nil"


@lua("""
function envoy_on_request(h)
  h:headers():replace(":method", "POST")
  h:headers():add("x-length", h:body(true):setBytes("made up"))
end
function envoy_on_response(h)
  h:headers():add("x-empty", h:body(true):length())
  h:body(true):setBytes("from nothing")
end
""")
def test_C35_a_body_is_made_where_there_was_none(both):
    got = both.call(responders={"main": answer(200, body=b"")})
    assert got.seen.body == b"made up" and got.seen["content-length"] == "7" and got.seen["x-length"] == "7"
    assert got["x-empty"] == "0" and got.body == b"from nothing"


@lua(FAILURE + """
function envoy_on_request(h)
  h:logInfo(failure(function() h:body("x") end))
  h:logInfo(failure(function() h:body(1) end))
  h:logInfo(tostring(h:body(false) ~= nil))
end
""")
def test_C35_the_argument_of_body_is_a_boolean(both):
    both.call(body=b"x")
    texts = both.each(lambda edge: [entry[1] for entry in edge.settled_log(3)])
    assert "boolean" in texts[0] and texts[2] == "true"


@lua("""
function envoy_on_request(h)
  local body = h:body()
  local length = body:length()
  local trailers = h:trailers()
  h:headers():add("x-both", length .. " " .. trailers:get("x-end"))
end
function envoy_on_response(h)
  local length = h:body():length()
  h:headers():add("x-both", length .. " " .. h:trailers():get("x-end"))
end
""")
def test_C36_body_and_then_trailers(both):
    got = both.call(chunks=[b"ab", b"c"], trailers=[("x-end", "1")],
                    responders={"main": answer(trailers=[("x-end", "2")])})
    assert got.seen["x-both"] == "3 1" and got.seen.trailers["x-end"] == "1"
    assert got["x-both"] == "5 2" and got.trailers["x-end"] == "2"


@lua("""
function envoy_on_request(h)
  local length = h:body():length()
  h:headers():add("x-length", length)
  h:headers():replace(":path", "/elsewhere")
end
function envoy_on_response(h)
  local length = h:body():length()
  h:headers():replace(":status", "201")
  h:headers():remove("x-gone")
end
""")
def test_C37_headers_can_be_written_behind_body(both):
    got = both.call(body=b"abcd", responders={"main": answer(headers=[("x-gone", "1")])})
    assert got.seen["x-length"] == "4" and got.seen[":path"] == "/elsewhere"
    assert got.status == 201 and got["x-gone"] is None


@differs("objects-outlive-waits")
@lua("""
function envoy_on_request(h)
  local headers = h:headers()
  local body = h:body()
  headers:add("x-length", body:length())
end
""")
def test_objects_from_before_a_wait(both):
    envoy, moongate = both.apart(body=b"abc")
    assert envoy.seen["x-length"] is None and moongate.seen["x-length"] == "3"


@lua("""
function envoy_on_request(h)
  local first = h:body():getBytes(0, 3)
  local second = h:body()
  h:headers():add("x-both", first .. second:getBytes(0, 3) .. second:length())
end
""")
def test_C38_body_twice(both):
    assert both.call(body=b"abc").seen["x-both"] == "abcabc3"


@lua("""
function envoy_on_request(h)
  local ok, body = pcall(function() return h:body() end)
  h:headers():add("x-length", tostring(ok) .. body:length())
  local ok2, body2 = pcall(h.body, h)
  h:headers():add("x-length", tostring(ok2) .. body2:length())
end
""")
def test_C39_body_in_pcall(both):
    assert both.call(chunks=[b"abc", b"d"]).seen.headers.all("x-length") == ["true4", "true4"]


@lua("""
function envoy_on_request(h)
  local length = h:body():setBytes("new request")
  h:headers():add("x-length", length)
end
function envoy_on_response(h)
  local length = h:body():setBytes("new response")
  h:headers():add("x-length", length)
end
""")
def test_C40_set_bytes_sets_content_length_and_returns_it(both):
    got = both.call(body=b"old", headers=[("content-length", "3")],
                    responders={"main": answer(headers=[("content-length", "5")])})
    assert got.seen.body == b"new request" and got.seen["content-length"] == "11" and got.seen["x-length"] == "11"
    assert got.body == b"new response" and got["content-length"] == "12" and got["x-length"] == "12"
    without = both.call(body=b"old")
    assert without.seen["content-length"] == "11" and without["content-length"] == "12"


@lua("""
function envoy_on_request(h) h:body():setBytes("a\\0b\\x47\\255") end
function envoy_on_response(h) h:body():setBytes("") end
""")
def test_C41_set_bytes_takes_any_bytes(both):
    got = both.call(body=b"old")
    assert got.seen.body == b"a\0bG\xff" and got.body == b"" and got["content-length"] == "0"


@lua(FAILURE + """
function envoy_on_request(h)
  local body = h:body()
  local function get(...)
    local given = {...}
    return failure(function() h:headers():add("x-got", "[" .. body:getBytes(given[1], given[2]) .. "]") end)
  end
  for _, pair in ipairs{{0, 5}, {4, 1}, {5, 0}, {2, 0}, {0, 6}, {5, 1}, {-1, 2}, {0, -1}, {6, 0}} do
    h:logInfo(get(pair[1], pair[2]))
  end
  h:logInfo(failure(function() body:getBytes() end))
end
""")
def test_C42_bounds_of_get_bytes(both):
    assert both.call(body=b"hello").seen.headers.all("x-got") == ["[hello]", "[o]", "[]", "[]"]
    out = "index/length must be >= 0 and (index + length) must be <= buffer size"
    both.logs(*[("info", "none")] * 4, *[("info", out)] * 5,
              ("info", "bad argument #1 to 'getBytes' (number expected, got no value)"))


@lua(FAILURE + """
function envoy_on_request(h)
  local body = h:body()
  h:headers():add("x-text", failure(function() body:setBytes() end))
  h:headers():add("x-text", failure(function() body:setBytes({}) end))
  body:setBytes(12)
end
""")
def test_C42_set_bytes_takes_texts_and_numbers(both):
    seen = both.call(body=b"hello").seen
    assert seen.body == b"12" and seen.headers.all("x-text") == [
        f"bad argument #1 to 'setBytes' (string expected, got {kind})" for kind in ("no value", "table")]


@lua("""
function envoy_on_request(h)
  local count = 0
  for chunk in h:bodyChunks() do
    count = count + 1
    h:logInfo(count .. ": " .. chunk:getBytes(0, chunk:length()))
  end
  h:logInfo("done")
end
""")
def test_C43_one_chunk_for_each_frame(both):
    got = both.each(lambda edge: paced(edge, [b"one", b"two", b"three"]))
    assert got.seen.body == b"onetwothree"
    both.logs(*[("info", text) for text in ("1: one", "2: two", "3: three", "done")])


@lua("""
function envoy_on_request(h)
  for chunk in h:bodyChunks() do h:logInfo(chunk:length()) end
  h:logInfo(h:trailers():get("x-end"))
end
""")
def test_C43_chunks_end_with_trailers(both):
    got = both.each(lambda edge: paced(edge, [b"one", b"three"], trailers=[("x-end", "1")]))
    assert got.seen.body == b"onethree" and got.seen.trailers["x-end"] == "1"
    both.logs(("info", "3"), ("info", "5"), ("info", "1"))


@lua("""
function envoy_on_request(h)
  for chunk in h:bodyChunks() do h:logInfo("never") end
  h:logInfo("done")
end
""")
def test_C43_no_body_has_no_chunks(both):
    assert both.call().status == 200
    both.logs(("info", "done"))


@lua(FAILURE + """
function envoy_on_request(h)
  local kept
  for chunk in h:bodyChunks() do
    if kept then h:logInfo(failure(function() return kept:length() end)) end
    kept = chunk
  end
end
""")
def test_C44_a_chunk_lives_until_the_next(both):
    both.each(lambda edge: paced(edge, [b"one", b"two"]))
    both.logs(("info", "object used outside of proper scope"))


@lua("""
function envoy_on_request(h)
  local last
  for chunk in h:bodyChunks() do
    chunk:setBytes("")
    last = chunk
  end
  last:setBytes("all of it")
end
function envoy_on_response(h)
  h:headers():remove("content-length")
  local last
  for chunk in h:bodyChunks() do
    last = chunk
    chunk:setBytes("")
  end
  last:setBytes("everything")
end
""")
def test_C45_the_last_chunk_can_be_written_after_the_loop(both):
    got = both.call(chunks=[b"one", b"two"], responders={"main": answer(chunks=[b"abc", b"def"])})
    assert got.seen.body == b"all of it" and got.body == b"everything"


@lua("""
function envoy_on_request(h)
  for chunk in h:bodyChunks() do chunk:setBytes((chunk:getBytes(0, chunk:length()):upper())) end
end
function envoy_on_response(h)
  for chunk in h:bodyChunks() do chunk:setBytes("<" .. chunk:getBytes(0, chunk:length()) .. ">") end
end
""")
def test_chunks_are_rewritten_as_they_pass(both):
    got = both.each(lambda edge: paced(edge, [b"ab", b"cd"]))
    assert got.seen.body == b"ABCD" and got.body == b"<hello>"


@differs("chunks-and-content-length")
@lua("""
function envoy_on_response(h)
  for chunk in h:bodyChunks() do chunk:setBytes("short") end
end
""")
def test_content_length_goes_when_chunks_are_read(both):
    envoy, moongate = both.apart(responders={"main": answer(headers=[("content-length", "12")], body=b"a longer one")})
    assert envoy["content-length"] == "12" and moongate["content-length"] is None
    assert moongate.body == b"short" and moongate.reset is None


@lua(FAILURE + """
function envoy_on_request(h)
  for chunk in h:bodyChunks() do
    h:logInfo(failure(function() h:body() end))
    h:logInfo(failure(function() h:bodyChunks() end))
  end
  h:logInfo(failure(function() h:body() end))
end
function envoy_on_response(h)
  h:body()
  h:logInfo(failure(function() h:bodyChunks() end))
end
""")
def test_C46_body_and_chunks_exclude_each_other(both):
    assert both.each(lambda edge: paced(edge, [b"abc", b"d"])).seen.body == b"abcd"
    started, streamed = (f"cannot call body() after body {what}" for what in ("streaming has started", "has been streamed"))
    begun = "cannot call bodyChunks after body processing has begun"
    both.logs(*[("info", text) for text in (started, begun, streamed, begun, streamed, begun)])


@lua("""
function envoy_on_request(h)
  h:body()
  h:logInfo("never")
end
""", path="/request")
@lua("""
function envoy_on_response(h)
  h:body()
  h:logInfo("never")
end
""", path="/response")
@lua("""
function envoy_on_response(h) h:body():setBytes(("x"):rep(700 * 1024)) end
""", path="/made")
def test_C47_bodies_that_are_too_large(both):
    large = b"x" * (700 << 10)
    assert both.each(lambda edge: edge.call(path="/request", body=large).status) == 413
    assert both.each(lambda edge: edge.call(
        path="/response", responders={"main": answer(body=large)}).status) == 500
    assert both.each(lambda edge: edge.call(path="/made").status) == 500
    both.logs()


@differs("too-large-for-grpc")
@lua("""function envoy_on_request(h) h:body() end""")
def test_messages_that_are_too_large(both):
    envoy, moongate = both.apart(lambda edge: edge.call(grpc=True, body=message(b"x" * (700 << 10))).grpc_status)
    assert (envoy, moongate) == ("2", "8")


@lua("""
function envoy_on_request(h)
  local body = h:body()
  h:headers():add("x-prefix", h:base64Escape(body:getBytes(0, 5)))
  h:headers():add("x-length", body:length())
  body:setBytes("\\0\\0\\0\\0\\2ok")
end
""")
def test_C48_a_grpc_body_begins_with_the_prefix_of_the_message(both):
    got = both.call(grpc=True, body=message(b"abc"))
    assert got.seen["x-prefix"] == "AAAAAAM=" and got.seen["x-length"] == "8" and got.seen.body == message(b"ok")
    assert got.grpc_status == "0"


@lua("""
function envoy_on_response(h)
  local body = h:body()
  h:headers():add("x-length", body:length())
end
""")
def test_C48_a_grpc_answer_can_be_read_whole(both):
    got = both.call(grpc=True, body=message(b"abc"), responders={
        "main": answer(200, RESPONSE[1:], message(b"abc") + message(b"d"), OK)})
    assert got["x-length"] == "14" and got.body == message(b"abc") + message(b"d") and got.grpc_status == "0"


@lua("""
function envoy_on_request(h)
  h:body()
  h:respond({[":status"] = "403"}, "seen it all")
end
""")
def test_respond_after_body(both):
    got = both.call(body=b"abc")
    assert got.status == 403 and got.body == b"seen it all" and got.upstreams == {}


@lua(FAILURE + """
function envoy_on_request(h)
  for chunk in h:bodyChunks() do
    h:logInfo(failure(function() h:respond({[":status"] = "403"}, "late") end))
  end
end
""")
def test_C71_respond_after_the_headers_have_been_sent(both):
    got = both.call(body=b"abc")
    assert got.status == 200 and got.seen.body == b"abc"
    both.logs(("info", "respond() cannot be called if headers have been continued"))


@lua("""
function envoy_on_request(h)
  h:body()
  error("after the body")
end
function envoy_on_response(h)
  h:body()
  error("after the body")
end
""")
def test_error_after_body_lets_it_pass(both):
    got = both.call(chunks=[b"abc", b"d"])
    assert got.seen.body == b"abcd" and got.body == b"hello" and got.status == 200
    both.errors(2)


@lua("""
function envoy_on_request(h)
  for chunk in h:bodyChunks() do error("in the loop") end
end
""")
def test_error_within_chunks_lets_the_rest_pass(both):
    assert both.call(chunks=[b"abc", b"d"]).seen.body == b"abcd"
    both.errors(1)
