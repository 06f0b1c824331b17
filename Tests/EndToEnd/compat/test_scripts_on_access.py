"""Scripts of the kinds that people run in Envoy, Emissary and Istio, written anew: those that say who may pass, and where to."""
import base64
import json

from harness.compat import lua
from harness.frames import message
from harness.recording import answer


def basic(text):
    return ("authorization", "Basic " + base64.b64encode(text.encode()).decode())


@lua("""
local function credentials(handle)
  local header = handle:headers():get("authorization") or ""
  local encoded = header:match("^[Bb]asic%s+(.+)$")
  local decoded = encoded and handle:base64Decode(encoded)
  if not decoded then return nil end
  return decoded:match("^([^:]*):(.*)$")
end

function envoy_on_request(handle)
  local user, password = credentials(handle)
  local users = handle:metadata():get("users") or {}
  if user == nil or users[user] ~= password then
    handle:respond({
      [":status"] = "401",
      ["www-authenticate"] = "Basic realm=\\"" .. handle:metadata():get("realm") .. "\\"",
    }, "Unauthorized")
  end
  handle:headers():replace("x-user", user)
  handle:headers():remove("authorization")
end
""", metadata={"realm": "tools", "users": {"ada": "lovelace", "grace": "hop:per"}})
def test_basic_auth_from_metadata(both):
    assert both.call(headers=[basic("grace:hop:per")]).seen["x-user"] == "grace"
    for headers in ([], [basic("ada:wrong")], [("authorization", "Basic !!")], [("authorization", "Bearer x")]):
        got = both.call(headers=headers)
        assert got.status == 401 and got["www-authenticate"] == 'Basic realm="tools"' and got.body == b"Unauthorized"
    refused = both.call(grpc=True, body=message(b""))
    assert refused.grpc_status == "16" and refused["grpc-message"] == "Unauthorized"


@lua("""
function envoy_on_request(handle)
  local header = handle:headers():get("authorization")
  if header == nil then
    handle:logErr("no token")
    handle:respond({[":status"] = "401"}, "token required")
  elseif string.sub(header, 1, 7) ~= "Splunk " then
    handle:respond({[":status"] = "400", ["content-type"] = "application/json"}, '{"text":"Invalid authorization"}')
  end
end
""")
def test_a_token_needs_its_prefix(both):
    assert both.call(headers=[("authorization", "Splunk abc")]).status == 200
    assert both.call().status == 401
    got = both.call(headers=[("authorization", "abc")])
    assert got.status == 400 and json.loads(got.body)["text"] == "Invalid authorization"


@lua("""
function envoy_on_request(handle)
  local token = handle:headers():get("authorization")
  if not token or not token:find("^Bearer ") then
    local host = handle:headers():get(":authority")
    handle:respond({
      [":status"] = 401,
      ["www-authenticate"] = string.format('Bearer resource_metadata="https://%s/.well-known/%s"', host, "oauth"),
      ["content-type"] = "application/json",
    }, '{"error":"invalid_token"}')
  end
end
""")
def test_401_that_says_where_to_ask(both):
    got = both.call()
    assert got.status == 401 and f"https://{both.edges[0].case.host}/.well-known/oauth" in got["www-authenticate"]


@lua("""
-- Closed for everybody if the check itself breaks.
local function check(handle)
  local roles = handle:headers():get("x-roles")
  if roles:find("admin", 1, true) == nil then error("not an admin") end
end

function envoy_on_request(handle)
  local ok, message = pcall(check, handle)
  if not ok then
    handle:logWarn("refused: " .. tostring(message):gsub("^.-:%d+: ", ""))
    handle:respond({[":status"] = "403"}, "forbidden")
  end
end
""")
def test_fail_closed_with_pcall(both):
    assert both.call(headers=[("x-roles", "user,admin")]).status == 200
    assert both.call(headers=[("x-roles", "user")]).status == 403
    assert both.call().status == 403


@lua("""
-- Cookie to bearer token, and a CSRF check for what changes something.
function cookie_value(cookies, name)
  for key, value in string.gmatch(cookies, "([%w_%-]+)=([^; ]+)") do
    if key == name then return value end
  end
  return nil
end

function envoy_on_request(request_handle)
  local headers = request_handle:headers()
  local cookies = headers:get("cookie")
  if cookies == nil then cookies = "" end
  local token = cookie_value(cookies, "access_token")
  if token ~= nill and headers:get("authorization") == nil then
    headers:add("authorization", "bearer " .. token)
  end
  local method = headers:get(":method")
  if token ~= nil and method ~= "GET" and method ~= "HEAD" then
    local sent = headers:get("x-csrf-token")
    local expected = cookie_value(cookies, "csrftoken")
    if sent == nil or sent ~= expected then
      request_handle:respond({[":status"] = "403", ["content-type"] = "application/json"},
        "{\\"error\\": \\"failed csrf check\\"}")
    end
  end
  local path = string.gsub(headers:get(":path"), "^/user/", "/")
  headers:replace(":path", path)
end
""")
def test_cookie_to_bearer_and_csrf(both):
    cookie = ("cookie", "csrftoken=abc; access_token=tok.en")
    got = both.call(path="/user/me", headers=[cookie])
    assert got.seen["authorization"] == "bearer tok.en" and got.seen[":path"] == "/me"
    assert both.call(path="/user/me", body=b"x", headers=[cookie]).status == 403
    assert both.call(path="/user/me", body=b"x", headers=[cookie, ("x-csrf-token", "abc")]).status == 200
    assert both.call(path="/user/me").seen["authorization"] is None


@lua("""
function envoy_on_request(handle)
  local method = handle:headers():get(":method")
  local allowed = handle:metadata():get("allowed")
  local client = handle:headers():get("x-client") or "unknown"
  local listed = false
  for _, name in ipairs(allowed) do
    if name == client then listed = true end
  end
  handle:streamInfo():dynamicMetadata():set("rbac", "decision", {
    client = client, method = method, allowed = listed, score = 2.5, tags = {"a", "b"},
  })
end

function envoy_on_response(handle)
  local rbac = handle:streamInfo():dynamicMetadata():get("rbac")
  if rbac and not rbac.decision.allowed then
    handle:logInfo(string.format("denied client=%s method=%s status=%s score=%s tags=%s",
      rbac.decision.client, rbac.decision.method, handle:headers():get(":status"), rbac.decision.score,
      table.concat(rbac.decision.tags, "+")))
  end
end
""", metadata={"allowed": ["billing", "orders"]})
def test_log_what_would_be_denied(both):
    both.call(headers=[("x-client", "billing")])
    both.call(headers=[("x-client", "mallory")])
    both.logs(("info", "denied client=mallory method=GET status=200 score=2.5 tags=a+b"))


@lua("""
function envoy_on_request(handle)
  local tag = handle:headers():getAtIndex("x-service-tag", 0) or handle:metadata():get("default_tag")
  local rules = handle:metadata():get("rules")
  if rules[tag] == "forbidden" then
    handle:respond({[":status"] = 400}, "tag " .. tag .. " cannot be asked for")
  end
  local subset = handle:streamInfo():dynamicMetadata():get("envoy.lb") or {}
  handle:streamInfo():dynamicMetadata():set("envoy.lb", "tag", tag)
  handle:headers():replace("x-service-tag", tag)
  handle:headers():add("x-before", tostring(next(subset)))
  handle:headers():add("x-zone", handle:metadata():get("zone"))
end
""", metadata={"default_tag": "stable", "rules": {"internal": "forbidden"}, "zone": "eu-1"})
def test_choose_a_subset_by_tag(both):
    assert both.call().seen["x-service-tag"] == "stable"
    assert both.call(headers=[("x-service-tag", "canary"), ("x-service-tag", "x")]).seen["x-service-tag"] == "canary"
    refused = both.call(headers=[("x-service-tag", "internal")])
    assert refused.status == 400 and refused.body == b"tag internal cannot be asked for"


@lua("""
function envoy_on_request(handle)
  local ssl = handle:streamInfo():downstreamSslConnection()
  local name = ""
  if ssl ~= nil and ssl:peerCertificatePresented() then
    for _, uri in ipairs(ssl:uriSanPeerCertificate()) do
      name = uri:match("^spiffe://[^/]+/(.+)$") or name
    end
  end
  handle:headers():replace("x-client-name", name)
end
""")
def test_name_of_the_client_from_its_certificate(both):
    assert both.call(headers=[("x-client-name", "forged")]).seen["x-client-name"] == ""


@lua("""
-- The limiter reads its override from dynamic metadata; the answer shows what it would read.
function envoy_on_request(handle)
  local plan = handle:headers():get("x-plan")
  local limits = {free = 10, pro = 1000}
  handle:streamInfo():dynamicMetadata():set("envoy.filters.http.ratelimit.override", "limit", {
    requests_per_unit = limits[plan] or 1, unit = "MINUTE",
  })
end
function envoy_on_response(handle)
  local override = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.ratelimit.override")
  handle:headers():add("x-limit", override.limit.requests_per_unit .. "/" .. override.limit.unit)
end
""")
def test_a_limit_by_plan(both):
    assert both.call(headers=[("x-plan", "pro")])["x-limit"] == "1000/MINUTE"
    assert both.call()["x-limit"] == "1/MINUTE"


@lua("""
local function accepted(header)
  local kinds = {}
  for part in header:gmatch("[^,]+") do
    local kind, quality = part:match("^%s*([^;%s]+).-;%s*q=([%d.]+)")
    kind = kind or part:match("^%s*([^;%s]+)")
    table.insert(kinds, {kind = kind, quality = tonumber(quality or 1), place = #kinds})
  end
  table.sort(kinds, function(a, b)
    if a.quality ~= b.quality then return a.quality > b.quality end
    return a.place < b.place
  end)
  return kinds
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local kind = "html"
  if (headers:get("content-type") or ""):find("^application/grpc") then
    kind = "grpc"
  else
    for _, accept in ipairs(accepted(headers:get("accept") or "*/*")) do
      if accept.kind == "application/json" then kind = "json" break end
      if accept.kind == "text/html" then break end
      if accept.kind == "text/plain" then kind = "plain" break end
    end
  end
  handle:streamInfo():dynamicMetadata():set("replies", "type", kind)
end

function envoy_on_response(handle)
  handle:headers():add("x-reply-type", handle:streamInfo():dynamicMetadata():get("replies")["type"])
end
""")
def test_type_of_the_reply_by_accept(both):
    for accept, kind in (("text/plain;q=0.5, application/json", "json"), ("text/html,text/plain", "html"),
                         ("text/plain;q=0.9,text/html;q=0.2", "plain"), ("*/*", "html")):
        assert both.call(headers=[("accept", accept)])["x-reply-type"] == kind
    assert both.call(grpc=True, body=message(b""))["x-reply-type"] == "grpc"


@lua("""
function envoy_on_request(handle)
  local session = handle:headers():get("x-session")
  if session then handle:streamInfo():dynamicMetadata():set("session", "cookie", "sid=" .. session) end
end
function envoy_on_response(handle)
  local session = handle:streamInfo():dynamicMetadata():get("session")
  if session ~= nil and session["cookie"] ~= nil then
    handle:headers():add("set-cookie", session["cookie"])
  end
end
""")
def test_carry_a_cookie_from_the_request_to_the_answer(both):
    assert both.call(headers=[("x-session", "7")])["set-cookie"] == "sid=7"
    assert both.call()["set-cookie"] is None


@lua("""
function envoy_on_request(handle)
  local context = handle:filterContext()
  handle:headers():add(context:get("header"), context:get("value"))
  for key, value in pairs(context) do
    if type(value) == "table" then handle:headers():add("x-list", key .. "=" .. table.concat(value, "+")) end
  end
end
""", context={"header": "x-from-context", "value": "v1", "list": ["a", "b"]})
def test_a_script_with_a_context(both):
    seen = both.call().seen
    assert seen["x-from-context"] == "v1" and seen["x-list"] == "list=a+b"


@lua("""
function envoy_on_request(handle)
  handle:headers():add("x-before", "1")
  handle:metadata():add("x", "y")
end
""")
def test_a_script_that_writes_what_is_read_only(both):
    got = both.call(body=b"abc")
    assert got.status == 200 and got.seen["x-before"] == "1" and got.seen.body == b"abc"
    both.errors(1)


@lua("""
-- The entry script of a dispatcher: it finds nothing to run and says so.
local handlers = {}
function envoy_on_request(handle)
  local name = handle:headers():get("x-plugin")
  local handler = handlers[name or ""]
  if not handler then
    handle:logWarn("no plugin '" .. tostring(name) .. "'")
    handle:headers():add("x-plugins", tostring(next(handlers)))
    return
  end
  handler(handle)
end
""")
def test_a_dispatcher_without_plugins(both):
    assert both.call(headers=[("x-plugin", "a")]).seen["x-plugins"] == "nil"
    both.logs(("warning", "no plugin 'a'"))


@lua("""
local zone = os.getenv("MOONGATE_TESTS_ZONE") or "unknown"

function envoy_on_request(handle)
  local metadata = handle:metadata()
  local tags = {}
  for _, tag in ipairs(metadata:get("tags") or {}) do tags[#tags + 1] = tag .. "@" .. zone end
  handle:headers():replace("x-service-tags", table.concat(tags, ","))
  handle:headers():replace("x-current-zone", zone)
end
""", metadata={"tags": ["blue", "v2"]})
def test_tags_with_the_zone_of_the_environment(both):
    seen = both.call().seen
    assert seen["x-service-tags"] == "blue@unknown,v2@unknown" and seen["x-current-zone"] == "unknown"


@lua("""
local auth = require("compat_auth")

function envoy_on_request(handle)
  if not auth.allowed(handle:headers():get("x-token")) then
    handle:respond({[":status"] = "401"}, auth.message)
  end
end
""", modules={"compat_auth": """
local M = {message = "who are you?"}
function M.allowed(token) return token ~= nil and token:sub(1, 4) == "tok-" end
return M
"""})
def test_a_check_in_a_module(both):
    assert both.call(headers=[("x-token", "tok-1")]).status == 200
    refused = both.call(headers=[("x-token", "x")])
    assert refused.status == 401 and refused.body == b"who are you?"
