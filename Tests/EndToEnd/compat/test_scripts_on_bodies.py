"""Scripts of the kinds that people run in Envoy, Emissary and Istio, written anew: those that read bodies, call services, and know gRPC."""
import base64
import json

from harness.compat import lua
from harness.frame_upstream import OK, RESPONSE
from harness.frames import message
from harness.recording import answer


@lua("""
function envoy_on_request(request_handle)
  local headers, body = request_handle:httpCall(
    "service",
    {
      [":method"] = "GET",
      [":path"] = "/check",
      [":authority"] = "auth",
      ["authorization"] = request_handle:headers():get("authorization") or "",
    },
    nil,
    2000)
  local status = tonumber(headers[":status"])
  if status ~= 200 then
    request_handle:respond({[":status"] = status, ["x-auth"] = headers["x-reason"] or "none"}, body)
  end
  request_handle:headers():add("x-user", headers["x-user"])
end
""")
def test_ask_an_auth_service(both):
    def auth(connection, head):
        if head.get("authorization") == "good":
            answer(headers=[("x-user", "ada")])(connection, head)
        else:
            answer(403, [("x-reason", "unknown token")], b"no entry")(connection, head)

    passed = both.call(headers=[("authorization", "good")], responders={"service": auth})
    assert passed.seen["x-user"] == "ada" and passed.upstreams["service"][0][":path"] == "/check"
    refused = both.call(body=b"abc", responders={"service": auth})
    assert (refused.status, refused["x-auth"], refused.body) == (403, "unknown token", b"no entry")
    assert "main" not in refused.upstreams


@lua("""
local function ask(handle, key)
  local headers, body = handle:httpCall("service", {
    [":method"] = "GET", [":path"] = "/shard/" .. key, [":authority"] = "shards",
  }, nil, 1000)
  for name, value in pairs(headers) do
    if name == "x-shard" then return value end
  end
  return body
end

function envoy_on_request(handle)
  local key = handle:headers():get("x-tenant")
  local shard = ask(handle, key)
  handle:headers():add("x-shard", shard)
end
""")
def test_look_up_a_shard(both):
    named = answer(headers=[("x-shard", "s7")])
    assert both.call(headers=[("x-tenant", "acme")], responders={"service": named}).seen["x-shard"] == "s7"
    assert both.call(headers=[("x-tenant", "acme")], responders={"service": answer(body=b"s9")}).seen["x-shard"] == "s9"


@lua("""
function envoy_on_request(handle)
  local body = handle:body()
  local size = body and body:length() or 0
  handle:headers():add("request-body-size", tostring(size))
  if size > 10 then handle:respond({[":status"] = "413"}, "at most 10 bytes") end
end
function envoy_on_response(handle)
  local body = handle:body()
  local size = body:length()
  handle:headers():add("response-body-size", tostring(size))
end
""")
def test_limit_bodies_by_size(both):
    got = both.call(body=b"0123456789")
    assert got.seen["request-body-size"] == "10" and got["response-body-size"] == "5"
    assert both.call(body=b"0123456789x").status == 413


@lua("""
function envoy_on_response(handle)
  if handle:headers():get(":status") == "429" then
    handle:body(true):setBytes('{"message":"Too many requests, try again later"}')
    handle:headers():replace("content-type", "application/json")
  end
end
""")
def test_a_429_of_our_own(both):
    limited = both.call(responders={"main": answer(429, body=b"")})
    assert json.loads(limited.body)["message"].startswith("Too many") and limited["content-type"] == "application/json"
    assert limited["content-length"] == str(len(limited.body))
    assert both.call().body == b"hello"


@lua("""
function envoy_on_response(response_handle)
  local body = response_handle:body()
  local size = body:setBytes("<html><b>Not Found<b></html>")
  response_handle:headers():replace("content-length", size)
  response_handle:headers():replace("content-type", "text/html")
end
""", path="/whole")
@lua("""
function envoy_on_response(response_handle)
  response_handle:headers():replace("content-length", 28)
  response_handle:headers():replace("content-type", "text/html")
  local last
  for chunk in response_handle:bodyChunks() do
    chunk:setBytes("")
    last = chunk
  end
  last:setBytes("<html><b>Not Found<b></html>")
end
""", path="/chunks")
def test_rewrite_a_body(both):
    whole = both.call(path="/whole", responders={"main": answer(404, [("content-length", "5")])})
    assert whole.body == b"<html><b>Not Found<b></html>" and whole["content-length"] == "28" and whole.status == 404
    chunks = both.each(lambda edge: without_length(edge.call(path="/chunks", responders={"main": answer(404)})))
    assert chunks.body == b"<html><b>Not Found<b></html>" and chunks["content-type"] == "text/html"


def without_length(outcome):
    """Moongate leaves `content-length` out when chunks are rewritten, see `chunks-and-content-length`."""
    outcome.headers.pop("content-length", None)
    return outcome


@lua("""
-- JSON by patterns, as people do it without a library.
local cache = {}
function envoy_on_request(handle)
  local body = handle:body()
  if body == nil then return end
  local text = body:getBytes(0, body:length())
  local model = text:match('"model"%s*:%s*"([^"]*)"') or "none"
  cache[model] = (cache[model] or 0) + 1
  local changed, count = text:gsub('"temperature"%s*:%s*[%d.]+', '"temperature": 0')
  changed = changed:gsub('"user"%s*:%s*"[^"]*",?%s*', "")
  body:setBytes(changed)
  local info = string.format("model=%s requests=%d changed=%d length=%d ratio=%d%%", model, cache[model], count,
    #changed, #changed / #text * 100)
  handle:headers():add("x-info", info)
end
""")
def test_rewrite_json_with_patterns(both):
    sent = b'{"model": "m1", "user": "ada", "temperature": 0.7}'
    got = both.call(body=sent)
    assert json.loads(got.seen.body) == {"model": "m1", "temperature": 0}
    assert got.seen["x-info"] == "model=m1 requests=1 changed=1 length=33 ratio=66%"
    assert "requests=2" in both.call(body=sent).seen["x-info"]


@lua("""
function envoy_on_request(handle)
  handle:logInfo("started " .. handle:headers():get(":path"))
  local body = handle:body()
  if body then handle:logInfo(body:getBytes(0, math.min(body:length(), 20))) end
end
function envoy_on_response(handle)
  local body = handle:body()
  handle:logInfo("answered " .. handle:headers():get(":status") .. " " .. body:getBytes(0, body:length()))
end
""")
def test_log_bodies(both):
    both.call(body=b"a rather long text that is cut")
    both.logs(("info", "started /"), ("info", "a rather long text t"), ("info", "answered 200 hello"))


@lua("""
-- One method waits for a service to be ready; the answer of the call is rewritten if it is not.
function envoy_on_request(handle)
  if handle:headers():get(":path") ~= "/inference.Service/Load" then return end
  local headers, body = handle:httpCall("service", {
    [":method"] = "GET", [":path"] = "/metrics", [":authority"] = "prometheus",
  }, nil, 1000)
  local used = tonumber((body or ""):match("gpu_used%s+([%d.]+)")) or 0
  handle:streamInfo():dynamicMetadata():set("gate", "full", used > 90)
end
function envoy_on_response(handle)
  local gate = handle:streamInfo():dynamicMetadata():get("gate")
  if gate and gate.full then
    handle:body(true):setBytes("")
    local trailers = handle:trailers()
    trailers:replace("grpc-status", "8")
    trailers:replace("grpc-message", "gpu is full")
  end
end
""")
def test_gate_one_grpc_method(both):
    def call(used):
        return both.call(grpc=True, path="/inference.Service/Load", body=message(b""), responders={
            "service": answer(body=b"# HELP\ngpu_used " + used + b"\n"),
            "main": answer(200, RESPONSE[1:], message(b"loaded"), OK)})

    assert call(b"12.5").trailers["grpc-status"] == "0"
    full = call(b"93")
    assert full.trailers["grpc-status"] == "8" and full.trailers["grpc-message"] == "gpu is full" and full.body == b""


@lua("""
local bit = require("bit")

local function frame(payload)
  local size = #payload
  return string.char(0, bit.band(bit.rshift(size, 24), 255), bit.band(bit.rshift(size, 16), 255),
    bit.band(bit.rshift(size, 8), 255), bit.band(size, 255)) .. payload
end

local function varint(number)
  local out = ""
  while number > 127 do
    out = out .. string.char(bit.bor(bit.band(number, 127), 128))
    number = bit.rshift(number, 7)
  end
  return out .. string.char(number)
end

function envoy_on_request(handle)
  local user = handle:headers():get("x-user")
  local payload = string.char(10) .. varint(#user) .. user
  local headers, body = handle:httpCall("service", {
    [":method"] = "POST", [":path"] = "/auth.Check/User", [":authority"] = "auth",
    ["content-type"] = "application/grpc", ["te"] = "trailers",
  }, frame(payload), 1000)
  print("asked for " .. user)
  handle:headers():add("x-answer", body and handle:base64Escape(body) or "none")
end
""")
def test_a_grpc_call_made_by_hand(both):
    user = "u" * 200
    got = both.call(headers=[("x-user", user)], responders={
        "service": answer(200, RESPONSE[1:], message(b"\x08\x01"), OK)})
    assert got.upstreams["service"][0].body == message(b"\x0a\xc8\x01" + user.encode())
    assert base64.b64decode(got.seen["x-answer"]) == message(b"\x08\x01")


@lua("""
function envoy_on_response(handle)
  local status = handle:headers():get(":status")
  local trailers = handle:trailers()
  if trailers ~= nil then
    trailers:replace("x-http-status", status)
    if trailers:get("grpc-status") ~= "0" then trailers:replace("grpc-message", "bridge: " .. trailers:get("grpc-message")) end
  end
end
""")
def test_status_headers_in_trailers(both):
    got = both.call(grpc=True, body=message(b""), responders={
        "main": answer(200, RESPONSE[1:], message(b""), [("grpc-status", "5"), ("grpc-message", "no such thing")])})
    assert got.trailers == {"grpc-status": ["5"], "grpc-message": ["bridge: no such thing"], "x-http-status": ["200"]}
