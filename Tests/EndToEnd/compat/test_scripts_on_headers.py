"""Scripts of the kinds that people run in Envoy, Emissary and Istio, written anew: those that change headers."""
from harness.compat import lua
from harness.recording import answer


@lua("""
-- Clients name host and port, routes and certificates only the host.
function envoy_on_request(request_handle)
  local authority = request_handle:headers():get(":authority")
  local colon = string.find(authority, ":")
  if colon ~= nil then
    request_handle:headers():replace(":authority", string.sub(authority, 1, colon - 1))
  end
end
""")
def test_strip_the_port(both):
    host = both.edges[0].case.host
    assert both.call(host=f"{host}:8443").seen[":authority"] == host
    assert both.call().seen[":authority"] == host


@lua("""
function envoy_on_response(handle)
  handle:headers():add("x-served-by", "the edge")
end
""")
def test_add_a_response_header(both):
    assert both.call()["x-served-by"] == "the edge"


@lua("""
local policy = {
  ["x-frame-options"] = "DENY",
  ["x-content-type-options"] = "nosniff",
  ["referrer-policy"] = "no-referrer",
}
local unwanted = {"x-powered-by", "server-version"}

function envoy_on_response(response_handle)
  local headers = response_handle:headers()
  for name, value in pairs(policy) do
    headers:replace(name, value)
  end
  for _, name in ipairs(unwanted) do headers:remove(name) end
  headers:replace("x-xss-protection", 1)
end
""")
def test_security_headers(both):
    got = both.call(responders={"main": answer(headers=[
        ("x-powered-by", "PHP"), ("x-frame-options", "SAMEORIGIN"), ("server-version", "1")])})
    assert got["x-frame-options"] == "DENY" and got["x-content-type-options"] == "nosniff"
    assert got["x-powered-by"] is None and got["x-xss-protection"] == "1"


@lua("""
function envoy_on_request(request_handle)
  local token = request_handle:headers():get("authorization")
  if token and token:match("^Bearer%s+[%w%-_]+%.[%w%-_]+%.[%w%-_]+$") then
    request_handle:headers():remove("authorization")
    request_handle:headers():add("x-had-token", "true")
  end
end
""")
def test_take_the_token_off_before_the_upstream(both):
    assert both.call(headers=[("authorization", "Bearer aa.b-b.c_c")]).seen["authorization"] is None
    assert both.call(headers=[("authorization", "Bearer x")]).seen["authorization"] == "Bearer x"


@lua("""
function envoy_on_request(handle)
  local wanted = handle:headers():get("x-want-host")
  if wanted then handle:headers():replace("host", wanted) end
end
""", path="/host")
@lua("""
function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get(":method") == "POST" and headers:get("idempotency-key") == nil then
    headers:add("idempotency-key", headers:get("x-request-number") .. "-" .. headers:get(":path"):gsub("/", "_"))
  end
end
""", path="/key")
def test_host_from_a_header_and_an_idempotency_key(both):
    host = both.edges[0].case.host
    assert both.call(path="/host", headers=[("x-want-host", f"{host}:99")]).seen[":authority"] == f"{host}:99"
    got = both.call(path="/key", body=b"x", headers=[("x-request-number", "7")])
    assert got.seen["idempotency-key"] == "7-_key"


@lua("""
-- Names must not be removed while they are walked over: collect, then remove.
function envoy_on_request(handle)
  local headers = handle:headers()
  local found = {}
  for name in pairs(headers) do
    if name:sub(1, 14) == "x-impersonate-" then table.insert(found, name) end
  end
  for _, name in ipairs(found) do headers:remove(name) end
end
""")
def test_remove_headers_by_prefix(both):
    seen = both.call(headers=[("x-impersonate-user", "root"), ("x-impersonate-group", "all"), ("x-other", "1")]).seen
    assert "x-impersonate-user" not in seen.headers and "x-impersonate-group" not in seen.headers
    assert seen["x-other"] == "1"


@lua("""
function envoy_on_request(handle)
  local config = handle:metadata()
  local name = config:get("cookie_name")
  local headers = handle:headers()
  local cookie = headers:get("cookie")
  if not cookie or not name then return end
  local kept = {}
  for part in cookie:gmatch("[^;]+") do
    local trimmed = part:match("^%s*(.-)%s*$")
    if trimmed:sub(1, #name + 1) ~= name .. "=" then kept[#kept + 1] = trimmed end
  end
  if #kept == 0 then headers:remove("cookie") else headers:replace("cookie", table.concat(kept, "; ")) end
  for _, unwanted in ipairs(config:get("remove") or {}) do headers:remove(unwanted) end
end
""", metadata={"cookie_name": "session", "remove": ["x-internal", "x-secret"]})
def test_take_the_edges_own_cookie_out(both):
    seen = both.call(headers=[("cookie", "a=1; session=secret; b=2"), ("x-internal", "1"), ("x-secret", "1")]).seen
    assert seen["cookie"] == "a=1; b=2" and seen["x-internal"] is None and seen["x-secret"] is None
    assert both.call(headers=[("cookie", "session=secret")]).seen["cookie"] is None


@lua("""
local function starts_with(text, prefix) return text:sub(1, #prefix) == prefix end

function envoy_on_response(handle)
  local headers = handle:headers()
  local rules = handle:metadata():get("rewrites") or {}
  for _, rule in ipairs(rules) do
    local value = headers:get(rule.header)
    if value and starts_with(value, rule.prefix) then
      headers:replace(rule.header, rule.value .. value:sub(#rule.prefix + 1))
    end
  end
end
""", metadata={"rewrites": [
    {"header": "location", "prefix": "http://inside:8080", "value": "https://outside"},
    {"header": "x-other", "prefix": "/", "value": "/base/"}]})
def test_rewrite_locations(both):
    got = both.call(responders={"main": answer(302, [("location", "http://inside:8080/login?x=1"), ("x-other", "/a")])})
    assert got["location"] == "https://outside/login?x=1" and got["x-other"] == "/base/a"
