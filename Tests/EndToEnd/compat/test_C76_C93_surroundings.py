"""Metadata, stream info and what else a handle gives."""
import re

from harness.compat import differs, lua, refusals
from harness.lua_texts import FAILURE


@lua("""
function envoy_on_request(h)
  local names = {}
  for name in pairs(h:metadata()) do names[#names + 1] = name end
  table.sort(names)
  h:headers():add("x-names", table.concat(names, ","))
  h:headers():add("x-user", h:metadata():get("user"))
  h:headers():add("x-none", tostring((h:metadata():get("none"))))
end
function envoy_on_response(h) h:headers():add("x-user", h:metadata():get("user")) end
""", path="/some", metadata={"user": "ada", "level": 3})
@lua("""
function envoy_on_request(h)
  h:headers():add("x-first", tostring((next({}))))
  for name in pairs(h:metadata()) do h:headers():add("x-name", name) end
  h:headers():add("x-none", tostring((h:metadata():get("none"))))
end
""", path="/empty")
def test_C76_metadata_of_the_route(both):
    some = both.call(path="/some")
    assert (some.seen["x-names"], some.seen["x-user"], some.seen["x-none"]) == ("level,user", "ada", "nil")
    assert some["x-user"] == "ada"
    empty = both.call(path="/empty").seen
    assert empty["x-name"] is None and empty["x-none"] == "nil"


@lua("""
function envoy_on_request(h)
  local m, headers = h:metadata(), h:headers()
  headers:add("x-number", m:get("int") .. " " .. m:get("float") .. " " .. m:get("negative"))
  headers:add("x-number", m:get("int"))
  headers:add("x-bool", tostring(m:get("yes")) .. tostring(m:get("no")))
  headers:add("x-list", #m:get("list") .. m:get("list")[1] .. m:get("list")[2].deep)
  headers:add("x-map", m:get("map").key .. type(m:get("map").inner.list))
  headers:add("x-null", tostring((m:get("null"))))
end
""", metadata={"int": 3, "float": 3.5, "negative": -7, "yes": True, "no": False, "list": ["a", {"deep": "d"}],
               "map": {"key": "v", "inner": {"list": [1]}}, "null": None})
def test_C77_values_of_metadata(both):
    seen = both.call().seen
    assert seen.headers.all("x-number") == ["3 3.5 -7", "3"]
    assert [seen[name] for name in ("x-bool", "x-list", "x-map", "x-null")] == ["truefalse", "2ad", "vtable", "nil"]


@lua("""
function envoy_on_request(h) h:respond({[":status"] = "403"}, "no") end
function envoy_on_response(h)
  h:headers():add("x-user", tostring((h:metadata():get("user"))))
end
""", metadata={"user": "ada"})
def test_C78_metadata_in_answers_of_the_proxy(both):
    assert both.call()["x-user"] == "ada"
    both.errors(0)


@lua("""
function envoy_on_request(h)
  local dynamic = h:streamInfo():dynamicMetadata()
  dynamic:set("one", "text", "abc")
  dynamic:set("one", "number", 5)
  dynamic:set("one", "float", 2.5)
  dynamic:set("one", "flag", true)
  dynamic:set("one", "list", {"a", "b", {c = "d"}})
  dynamic:set("one", "map", {x = {y = 1}})
  dynamic:set("one", "empty", {})
  dynamic:set("one", "nothing", nil)
  dynamic:set("two", "key", "value")
  local one, headers = dynamic:get("one"), h:headers()
  headers:add("x-scalars", one.text .. one.number .. one.float .. tostring(one.flag))
  headers:add("x-nested", #one.list .. one.list[3].c .. one.map.x.y .. type(one.empty) .. tostring(one.nothing))
  local names = {}
  for space, values in pairs(dynamic) do
    for key in pairs(values) do names[#names + 1] = space .. "." .. key end
  end
  table.sort(names)
  headers:add("x-names", table.concat(names, " "))
  headers:add("x-none", tostring((dynamic:get("none"))))
  one.text = "changed"
  headers:add("x-copy", dynamic:get("one").text)
  dynamic:set("one", "text", "again")
  headers:add("x-again", dynamic:get("one").text)
end
""")
def test_C79_dynamic_metadata(both):
    seen = both.call().seen
    assert seen["x-scalars"] == "abc52.5true" and seen["x-nested"] == "3d1tablenil"
    assert "one.text" in seen["x-names"] and seen["x-none"] == "nil"
    assert (seen["x-copy"], seen["x-again"]) == ("abc", "again")


@lua(FAILURE + """
function envoy_on_request(h)
  local dynamic = h:streamInfo():dynamicMetadata()
  h:headers():add("x-text", failure(function() for i = 1, 3000 do dynamic:set("app", "progress", i) end end))
  h:headers():add("x-progress", dynamic:get("app").progress)
end
""")
def test_C79_the_same_key_may_be_set_for_ever(both):
    seen = both.call().seen
    assert (seen["x-text"], seen["x-progress"]) == ("none", "3000")


@differs("bounds-of-values")
@lua(FAILURE + """
function envoy_on_request(h)
  local dynamic = h:streamInfo():dynamicMetadata()
  h:headers():add("x-text", failure(function() for i = 1, 3000 do dynamic:set("app", "key" .. i, i) end end))
end
""")
def test_new_keys_of_dynamic_metadata_have_a_bound(both):
    envoy, moongate = both.apart()
    assert envoy.seen["x-text"] == "none"
    assert "would hold more than 256 KiB" in moongate.seen["x-text"]


@lua(FAILURE + """
function envoy_on_request(h)
  local dynamic = h:streamInfo():dynamicMetadata()
  local function text(value) h:headers():add("x-text", failure(function() dynamic:set("ns", "key", value) end)) end
  text(function() end)
  text({[1] = "a", b = "c"})
  text({[true] = 1})
  text({f = print})
  h:headers():add("x-left", tostring((dynamic:get("ns"))))
end
""")
def test_C79_types_that_dynamic_metadata_does_not_take(both):
    seen = both.call().seen
    assert seen.headers.all("x-text")[0] == "unexpected type 'function' in dynamicMetadata"
    assert "none" not in seen.headers.all("x-text")


@lua("""
function envoy_on_request(h)
  h:streamInfo():dynamicMetadata():set("envoy.filters.http.lua", "request.info", {
    auth = h:headers():get("authorization"),
    token = h:headers():get("x-request-token"),
  })
end
function envoy_on_response(h)
  local info = h:streamInfo():dynamicMetadata():get("envoy.filters.http.lua")["request.info"]
  h:headers():add("x-auth", info.auth)
  h:headers():add("x-token", tostring(info.token))
end
""")
def test_C80_values_go_from_the_request_to_the_response_hook(both):
    got = both.call(headers=[("authorization", "Basic abc")])
    assert got["x-auth"] == "Basic abc" and got["x-token"] == "nil"


@lua("""
function envoy_on_request(h)
  local info, headers = h:streamInfo(), h:headers()
  headers:add("x-protocol", info:protocol())
  headers:add("x-route", tostring(info:routeName()):match("%-%d$") and "named" or "not named")
  headers:add("x-sni", "[" .. info:requestedServerName() .. "]")
  for _, method in ipairs{"downstreamLocalAddress", "downstreamDirectLocalAddress", "downstreamRemoteAddress",
      "downstreamDirectRemoteAddress"} do
    headers:add("x-" .. method, info[method](info):match("^127%.0%.0%.1:%d+$") and "fine" or info[method](info))
  end
  headers:add("x-same", tostring(info:downstreamLocalAddress() == info:downstreamDirectLocalAddress()))
  headers:add("x-ssl", tostring((info:downstreamSslConnection())))
end
function envoy_on_response(h) h:headers():add("x-protocol", h:streamInfo():protocol()) end
""")
def test_C84_addresses_and_other_facts(both):
    got = both.call()
    seen = got.seen
    assert seen["x-protocol"] == got["x-protocol"] == "HTTP/2" and seen["x-ssl"] == "nil" and seen["x-sni"] == "[]"
    assert seen["x-route"] == "named" and seen["x-same"] == "true"
    assert seen["x-downstreamlocaladdress"] == seen["x-downstreamdirectremoteaddress"] == "fine"


@lua(FAILURE + """
function envoy_on_request(h)
  local headers = h:headers()
  local now = h:timestamp()
  headers:add("x-digits", #tostring(now))
  headers:add("x-digits", #tostring(h:timestamp(EnvoyTimestampResolution.MILLISECOND)))
  headers:add("x-digits", #h:timestampString())
  headers:add("x-digits", #h:timestampString(EnvoyTimestampResolution.MICROSECOND))
  headers:add("x-types", type(now) .. type(h:timestampString()))
  headers:add("x-point", tostring(tostring(now):find(".", 1, true)))
  headers:add("x-text", failure(function() h:timestamp("x") end))
  headers:add("x-text", failure(function() h:timestampString("x") end))
end
""")
def test_C90_timestamps(both):
    seen = both.call().seen
    assert seen.headers.all("x-digits") == ["13", "13", "13", "16"] and seen["x-types"] == "numberstring"
    assert seen["x-point"] == "nil" and seen.headers.all("x-text")[0] == "timestamp format must be MILLISECOND."


@lua("""
function envoy_on_request(h)
  local headers = h:headers()
  local function both_ways(text)
    local encoded = h:base64Escape(text)
    headers:add("x-encoded", encoded)
    headers:add("x-same", tostring(h:base64Decode(encoded) == text))
  end
  both_ways("foobar")
  both_ways("")
  both_ways("\\0\\1\\255\\254")
  local texts = {"Zm9v", "Zm8", "Zg", "Z", "!!!!", "Zm9v=", " Zm 9v\\n", "_-8=", "Zm9vYg==", "Zh==", "Zg=", "Zg= =",
    "Zg..", "==", "Zg==Zg==", "Zm9v\\0", " ", "Zm9vZ"}
  for _, text in ipairs(texts) do
    headers:add("x-decoded", "[" .. tostring((h:base64Decode(text))) .. "]")
  end
end
""")
def test_C90_base64(both):
    seen = both.call().seen
    assert seen.headers.all("x-encoded") == ["Zm9vYmFy", "", "AAH//g=="]
    assert set(seen.headers.all("x-same")) == {"true"} and seen.headers.all("x-decoded")[:3] == ["[foo]", "[fo]", "[f]"]


def unquoted(message):
    """A message of Envoy's without the argument that it quotes."""
    return re.sub(r"^(invalid histogram unit) '\w+'", r"\1", message)


@differs("arguments-in-errors")
@lua(FAILURE + """
function envoy_on_request(h)
  local stats, headers = h:stats(), h:headers()
  local counter, gauge = stats:counter("a.b-c"), stats:gauge("g")
  counter:inc() counter:add(5)
  gauge:set(100) gauge:inc() gauge:add(10) gauge:dec() gauge:sub(5)
  stats:counter("fraction"):add(1.5)
  stats:histogram("t", "ms"):recordValue(5)
  for _, value in ipairs {counter:value(), gauge:value(), stats:counter("fraction"):value(), stats:counter("a.b-c"):value()} do
    headers:add("x-value", value)
  end
  headers:add("x-same", tostring(stats == h:stats()))
  for _, wrong in ipairs {
    function() stats:counter("a"):add(-1) end, function() stats:gauge("b"):add(-1) end,
    function() stats:gauge("b"):set(-1) end, function() stats:histogram("c"):recordValue(-1) end,
    function() stats:histogram("c", "years") end, function() stats:histogram("c", "Bytes") end,
  } do headers:add("x-why", failure(wrong)) end
end
""")
def test_C91_stats(both):
    envoy, moongate = both.apart()
    for seen in (envoy.seen, moongate.seen):
        assert seen.headers.all("x-value") == ["6", "105", "1", "6"] and seen["x-same"] == "true"
        assert seen.headers.all("x-why")[0] == "counter add amount must be non-negative"
    assert [unquoted(why) for why in envoy.seen.headers.all("x-why")] == moongate.seen.headers.all("x-why")


@lua(FAILURE + """
function envoy_on_request(h)
  h:logInfo("text")
  h:logInfo(5)
  h:logInfo(10 / 4)
  h:logInfo(10 / 5)
  h:logWarn("careful")
  h:logInfo(failure(function() h:logInfo(nil) end))
  h:logInfo(failure(function() h:logInfo({}) end))
  h:logInfo(failure(function() h:logInfo(true) end))
  h:logErr({})
end
function envoy_on_response(h) h:logInfo("in the response hook") end
""")
def test_C92_log_takes_texts_and_numbers(both):
    assert both.call().status == 200
    both.errors(1)
    both.logs(*[("info", text) for text in ("text", "5", "2.5", "2")], ("warning", "careful"),
              *[("info", f"bad argument #1 to 'logInfo' (string expected, got {kind})")
                for kind in ("nil", "table", "boolean")], ("info", "in the response hook"))


@lua("""
function envoy_on_request(h)
  h:headers():logInfo("headers")
  h:metadata():logInfo("metadata")
  h:streamInfo():logWarn("stream info")
  h:streamInfo():dynamicMetadata():logInfo("dynamic metadata")
end
""")
def test_C92_every_object_can_log(both):
    both.call()
    both.logs(("info", "headers"), ("info", "metadata"), ("warning", "stream info"), ("info", "dynamic metadata"))


@differs("arguments-in-errors")
@lua(FAILURE + """
function envoy_on_request(h)
  local stats, headers = h:stats(), h:headers()
  local counter = stats:counter("requests.seen")
  counter:inc()
  counter:add(5)
  headers:add("x-counter", counter:value() .. " " .. stats:counter("requests.seen"):value())
  local gauge = stats:gauge("level")
  gauge:set(100)
  gauge:inc()
  gauge:add(9)
  gauge:dec()
  gauge:sub(4)
  headers:add("x-gauge", gauge:value())
  stats:histogram("sizes"):recordValue(17)
  stats:histogram("times", "ms"):recordValue(250)
  headers:add("x-negative", failure(function() counter:add(-1) end))
  headers:add("x-unit", failure(function() stats:histogram("wrong", "miles") end))
  headers:add("x-after", stats:counter("requests.seen"):value())
end
""")
def test_C91_counters_gauges_and_histograms(both):
    envoy, moongate = both.apart()
    for seen in (envoy.seen, moongate.seen):
        assert (seen["x-counter"], seen["x-gauge"], seen["x-after"]) == ("6 6", "105", "6")
        assert "none" not in (seen["x-negative"], seen["x-unit"])
    assert unquoted(envoy.seen["x-unit"]) == moongate.seen["x-unit"]
    for edge in both.edges:
        assert edge.counter("requests.seen") == 6


@lua("""
local module = require("compat_module")
local again = require("compat_module")
function envoy_on_request(h)
  h:headers():add("x-module", module.name() .. tostring(module == again))
end
""", modules={"compat_module": 'local M = {}\nfunction M.name() return "from the module" end\nreturn M\n'})
def test_C93_a_module_on_the_path(both):
    assert both.call().seen["x-module"] == "from the moduletrue"


def test_C93_a_module_that_is_missing_is_a_fault_of_the_configuration(tmp_path):
    envoy, *moongate = refusals(tmp_path, 'local module = require("nosuch_module")\nfunction envoy_on_request(h) end\n')
    assert "nosuch_module" in envoy
    for said in moongate:
        assert "policy.lua:1: module not found" in said


@differs("kinds-of-metrics")
@lua(FAILURE + """
function envoy_on_request(h)
  h:stats():counter("two.kinds"):inc()
  h:headers():add("x-text", failure(function() h:stats():histogram("two.kinds") end))
end
""")
def test_a_name_has_one_kind_of_metric(both):
    envoy, moongate = both.apart()
    assert envoy.seen["x-text"] == "none" and "is a counter already" in moongate.seen["x-text"]
