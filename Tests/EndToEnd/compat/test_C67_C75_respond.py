"""`respond()`."""
import pytest

from harness.compat import lua
from harness.lua_texts import FAILURE


@lua("""
function envoy_on_request(h)
  pcall(function() h:respond({[":status"] = "403"}, "nope") end)
  h:logInfo("still running")
  h:respond({[":status"] = "401"}, "second")
end
""")
def test_C67_nothing_behind_respond_runs_not_even_in_pcall(both):
    got = both.call(body=b"abc")
    assert (got.status, got.body, got.upstreams) == (403, b"nope", {})
    both.logs()


@lua("""
function envoy_on_request(h)
  h:respond({[":status"] = "403", ["x-one"] = "1", ["x-many"] = {"a", "b"}, ["x-number"] = 5}, "no")
end
""", path="/plain")
@lua("""
function envoy_on_request(h)
  h:respond({[":status"] = "400", ["content-type"] = "application/json"}, "{}")
end
""", path="/json")
@lua("""function envoy_on_request(h) h:respond({[":status"] = "204"}) end""", path="/empty")
def test_C68_headers_of_respond(both):
    plain = both.call(path="/plain")
    assert plain["content-type"] == "text/plain" and plain["content-length"] == "2"
    assert plain["x-one"] == "1" and plain.headers.all("x-many") == ["a", "b"] and plain["x-number"] == "5"
    json = both.call(path="/json")
    assert json["content-type"] == "application/json" and json.body == b"{}"
    empty = both.call(path="/empty")
    assert empty.status == 204 and empty.body == b"" and empty["content-type"] is None


@lua("""function envoy_on_request(h) h:respond({[":status"] = 418}, "teapot") end""", path="/number")
@lua("""function envoy_on_request(h) h:respond({[":status"] = 836 / 2}, 42) end""", path="/quotient")
def test_C69_status_and_body_may_be_numbers(both):
    assert both.call(path="/number").status == 418
    quotient = both.call(path="/quotient")
    assert quotient.status == 418 and quotient.body == b"42"


@lua(FAILURE + """
function envoy_on_request(h)
  h:headers():add("x-text", failure(function() h:respond({}, "x") end))
  for _, status in ipairs{"100", "199", "600", "200.5", "abc", ""} do
    h:headers():add("x-text", failure(function() h:respond({[":status"] = status}, "x") end))
  end
  h:respond({[":status"] = "99"}, "x")
end
""")
def test_C70_bad_status_raises_and_the_request_goes_on(both):
    got = both.call()
    assert set(got.seen.headers.all("x-text")) == {":status must be between 200-599"} and got.status == 200
    both.errors(1)


@lua(FAILURE + """
function envoy_on_request(h)
  h:headers():add("x-text", failure(function() h:respond() end))
  h:headers():add("x-text", failure(function() h:respond("x") end))
  h:headers():add("x-text", failure(function() h:respond({[":status"] = "200", ["x-a"] = true}) end))
  h:headers():add("x-text", failure(function() h:respond({[":status"] = "200", ["x-a"] = {true}}) end))
  h:headers():add("x-text", failure(function() h:respond({[":status"] = "200", ["x-a"] = {{}}}) end))
end
""")
def test_C70_bad_arguments_of_respond(both):
    for edge in both.edges:
        texts = edge.call().seen.headers.all("x-text")
        assert texts[:2] == [f"bad argument #1 to 'respond' (table expected, got {kind})" for kind in ("no value", "string")]
        assert len(texts) == 5 and "none" not in texts


@lua("""
function envoy_on_response(h)
  h:headers():add("x-before", "1")
  local _, message = pcall(h.respond, h, {[":status"] = "403"}, "no")
  h:headers():add("x-message", tostring(message))
end
""", path="/caught")
@lua("""
function envoy_on_response(h)
  h:headers():add("x-before", "1")
  h:respond({[":status"] = "403"}, "no")
end
""")
def test_C72_respond_in_the_response_hook(both):
    got = both.call()
    assert got.status == 200 and got["x-before"] == "1" and got.body == b"hello"
    assert both.call(path="/caught")["x-message"] == "respond not currently supported in the response path"


MAPPING = {200: 2, 400: 13, 401: 16, 403: 7, 404: 12, 413: 2, 418: 2, 429: 14, 500: 2, 502: 14, 503: 14, 504: 14}


@lua("""
function envoy_on_request(h)
  h:respond({[":status"] = h:headers():get("x-want"), ["x-why"] = "because"}, "not today: caf\\195\\169 100%")
end
""")
def test_C73_respond_to_grpc_is_a_grpc_status(both):
    for status, code in MAPPING.items():
        got = both.call(grpc=True, headers=[("x-want", str(status))])
        assert (got.status, got["grpc-status"], got.body) == (200, str(code), b""), status
        assert got["grpc-message"] == "not today: caf%C3%A9 100%25" and got["x-why"] == "because"
        assert got["content-type"] == "application/grpc" and got.upstreams == {}


@lua("""
function envoy_on_request(h)
  h:respond({[":status"] = "200", ["grpc-status"] = "10", ["grpc-message"] = "own words"})
end
""", path="/status")
@lua("""
function envoy_on_request(h)
  h:respond({[":status"] = "403", ["grpc-status"] = "10", ["grpc-message"] = "own words"}, "body")
end
""", path="/body")
@lua("""function envoy_on_request(h) h:respond({[":status"] = "200"}) end""", path="/bare")
def test_C73_grpc_status_of_the_script_is_kept(both):
    status = both.call(path="/status", grpc=True)
    assert (status["grpc-status"], status["grpc-message"]) == ("10", "own words")
    body = both.call(path="/body", grpc=True)
    assert body["grpc-message"] == "body"
    both.call(path="/bare", grpc=True)


@lua("""
function envoy_on_request(h) h:respond({[":status"] = "401", ["x-a"] = "1"}, "who") end
function envoy_on_response(h)
  local headers = h:headers()
  headers:add("x-seen", headers:get(":status") .. " " .. tostring((headers:get("grpc-status"))) ..
    " " .. tostring((headers:get("x-a"))))
  headers:replace("x-a", "2")
end
""")
def test_C74_response_hook_runs_on_the_answer(both):
    plain = both.call()
    assert plain.status == 401 and plain["x-seen"] == "401 nil 1" and plain["x-a"] == "2"
    grpc = both.call(grpc=True)
    assert grpc["x-seen"] == "200 16 1"
    assert both.each(lambda edge: edge.runs()) == 4


@pytest.mark.figures
@lua("""function envoy_on_request(h) h:respond({[":status"] = "503"}, ("x"):rep(2000)) end""")
def test_C75_many_answers_leave_nothing_behind(both):
    def memory_of_many(edge):
        client = edge.connect()

        def calls(count):
            for _ in range(count):
                assert client.call(edge.head())[0].get(":status") == "503"

        calls(500)
        before = edge.process.resident_bytes()
        calls(1500)
        return edge.process.resident_bytes() - before < 8 << 20

    assert both.each(memory_of_many)
