"""The header map."""
import pytest

from harness.compat import differs, lua
from harness.lua_texts import FAILURE
from harness.recording import answer


@lua("""
function envoy_on_request(h)
  local headers = h:headers()
  headers:add("X-Mixed-Case", headers:get("X-HELLO"))
  headers:replace("X-Other", "new")
  headers:remove("X-Gone")
end
""")
def test_C16_names_compare_without_case_and_are_stored_in_lower_case(both):
    seen = both.call(headers=[("x-hello", "w"), ("x-other", "o"), ("x-gone", "g")]).seen
    assert (seen["x-mixed-case"], seen.headers.all("x-other"), seen["x-gone"]) == ("w", ["new"], None)


@lua("""
function envoy_on_request(h)
  h:headers():add("x-many", "bar")
  h:headers():add("x-joined", h:headers():get("x-many"))
end
""")
def test_C17_get_joins_values_with_a_comma(both):
    assert both.call(headers=[("x-many", "foo")]).seen.headers.all("x-joined") == ["foo,bar"]


@lua("""
function envoy_on_request(h)
  local headers = h:headers()
  h:logInfo(headers:getNumValues("x-two") .. " " .. headers:getNumValues("x-one") .. " " ..
    headers:getNumValues("x-none") .. " " .. headers:getNumValues(":path") .. " " .. headers:getNumValues("host"))
end
""")
def test_C18_get_num_values(both):
    both.call(headers=[("x-two", "1"), ("x-two", "2"), ("x-one", "1")])
    both.logs(("info", "2 1 0 1 1"))


@lua("""
function envoy_on_request(h)
  local headers = h:headers()
  for _, at in ipairs{0, 1, 2, 3, -1} do
    headers:add("x-got", "[" .. tostring((headers:getAtIndex("x-a", at))) .. "]")
  end
  headers:add("x-path", headers:getAtIndex(":path", 0))
end
""")
def test_C19_get_at_index_counts_from_0(both):
    seen = both.call(headers=[("x-a", "one"), ("x-a", ""), ("x-a", "three")]).seen
    assert seen.headers.all("x-got") == ["[one]", "[]", "[three]", "[nil]", "[nil]"]
    assert seen["x-path"] == "/"


@lua("""
function envoy_on_request(h)
  local headers = h:headers()
  headers:replace("x-absent", "1")
  headers:replace("x-many", "one")
  headers:replace(":path", "/elsewhere")
  headers:add("x-path", headers:get(":path"))
end
""")
def test_C20_replace_adds_and_replaces_all_and_works_for_the_path(both):
    seen = both.call(headers=[("x-many", "1"), ("x-many", "2")]).seen
    assert seen["x-absent"] == "1" and seen.headers.all("x-many") == ["one"]
    assert seen[":path"] == "/elsewhere" and seen["x-path"] == "/elsewhere"


@lua("""
function envoy_on_request(h) h:headers():add(":path", "/second") end
""")
def test_C20_add_to_a_pseudo_header_joins(both):
    assert both.call(path="/orig").seen[":path"] == "/orig,/second"


@lua(FAILURE + """
function envoy_on_request(h)
  local headers = h:headers()
  for name in pairs(headers) do
    if name == ":path" then
      h:logInfo(failure(headers.add, headers, "x-a", "1"))
      h:logInfo(failure(headers.replace, headers, "x-a", "1"))
      h:logInfo(failure(headers.remove, headers, "x-a"))
    end
  end
end
""")
def test_C22_writing_within_pairs_raises(both):
    both.call()
    both.logs(*[("info", "header map cannot be modified while iterating")] * 3)


@lua("""
function envoy_on_request(h)
  local names = {}
  for name, value in pairs(h:headers()) do
    if name:find("^[:x]") and name ~= "x-forwarded-proto" then names[#names + 1] = name .. "=" .. value end
  end
  h:headers():add("x-all", table.concat(names, ";"))
end
""")
def test_C23_pairs_shows_all_in_order_and_writing_after_it_works(both):
    got = both.call(headers=[("x-b", "1"), ("x-a", "2"), ("x-b", "3")]).seen["x-all"].split(";")
    assert got[-3:] == ["x-b=1", "x-a=2", "x-b=3"]
    assert sorted(name.partition("=")[0] for name in got[:4]) == [":authority", ":method", ":path", ":scheme"]


@lua(FAILURE + """
function envoy_on_request(h)
  local headers = h:headers()
  local text
  for name in pairs(headers) do text = text or failure(pairs, headers) end
  headers:add("x-text", text)
end
""")
def test_C24_second_iterator_raises(both):
    assert both.call().seen["x-text"] == "cannot create a second iterator before completing the first"


@differs("break-in-pairs")
@lua(FAILURE + """
function envoy_on_request(h)
  local headers = h:headers()
  for name in pairs(headers) do break end
  h:logInfo(failure(headers.add, headers, "x-after", "1"))
end
""")
def test_C25_writing_after_a_break(both):
    envoy, moongate = both.apart()
    assert envoy.seen["x-after"] is None and moongate.seen["x-after"] == "1"


@lua("""
function envoy_on_request(h)
  local headers = h:headers()
  headers:add("x-int", 3)
  headers:add("x-half", 10 / 2)
  headers:add("x-float", 3.25)
  headers:add("x-big", 2 ^ 31)
  headers:add("x-huge", 2 ^ 53)
  headers:replace("x-r", -1)
  headers:add(7, 8)
end
""")
def test_C27_numbers_are_values(both):
    seen = both.call().seen
    assert [seen[name] for name in ("x-int", "x-half", "x-float", "x-big", "x-huge", "x-r", "7")] == [
        "3", "5", "3.25", "2147483648", "9.007199254741e+15", "-1", "8"]


@lua(FAILURE + """
function envoy_on_request(h)
  local headers = h:headers()
  for _, value in ipairs{true, {}, print} do
    h:logInfo(failure(function() headers:add("x-a", value) end))
    h:logInfo(failure(function() headers:replace("x-a", value) end))
  end
  h:logInfo(failure(function() headers:add("x-a", nil) end))
  h:logInfo(failure(function() headers:add(nil, "x") end))
  h:logInfo(failure(function() headers:add("x-a") end))
  h:logInfo(failure(function() headers:get(nil) end))
  h:logInfo(failure(function() headers:get({}) end))
  h:logInfo(failure(function() headers:remove(nil) end))
  h:logInfo(failure(function() headers:get() end))
  h:logInfo(tostring((headers:get(5))))
end
""")
def test_C28_values_of_other_types_raise_with_the_number_of_the_argument(both):
    both.call()
    texts = [f"bad argument #2 to '{name}' (string expected, got {kind})"
             for kind in ("boolean", "table", "function") for name in ("add", "replace")]
    texts += ["bad argument #2 to 'add' (string expected, got nil)", "bad argument #1 to 'add' (string expected, got nil)",
              "bad argument #2 to 'add' (string expected, got no value)",
              "bad argument #1 to 'get' (string expected, got nil)",
              "bad argument #1 to 'get' (string expected, got table)",
              "bad argument #1 to 'remove' (string expected, got nil)",
              "bad argument #1 to 'get' (string expected, got no value)", "nil"]
    both.logs(*[("info", text) for text in texts])
    both.errors(0)


@lua("""
function envoy_on_request(h) h:headers():replace(":path", "/target/x") end
""", path="/start")
@lua("function envoy_on_response(h) end", path="/target", upstream="other")
def test_C29_changed_path_is_routed_again(both):
    got = both.call(path="/start")
    assert list(got.upstreams) == ["other"] and got.upstreams["other"][0][":path"] == "/target/x"


@lua("""
function envoy_on_request(h) h:headers():replace("x-tenant", "acme") end
""", envoy={"match": {"prefix": "/"}})
def test_C29_changed_header_reaches_the_upstream(both):
    assert both.call().seen["x-tenant"] == "acme"


@lua("""
function envoy_on_request(h)
  h:headers():add("x-host", h:headers():get("host"))
  h:headers():replace("host", h:headers():get("HOST") .. ":8080")
  h:headers():add("x-authority", h:headers():get(":authority"))
  h:headers():add("x-count", h:headers():getNumValues("Host"))
end
""")
def test_C30_host_is_authority(both):
    seen = both.call().seen
    assert seen["x-host"].endswith(".test") and seen["x-count"] == "1"
    assert seen["x-authority"] == seen[":authority"] == seen["x-host"] + ":8080"
    assert seen["host"] is None


@lua("""
function envoy_on_request(h)
  h:respond({[":status"] = "200", ["set-cookie"] = {"a=1", "b=2"}}, "x")
end
""", path="/respond")
@lua("""
function envoy_on_response(h)
  h:headers():add("x-joined", h:headers():get("set-cookie"))
  h:headers():add("set-cookie", "c=3")
end
""")
def test_C31_cookies_stay_apart(both):
    assert both.call(path="/respond").headers.all("set-cookie") == ["a=1", "b=2"]
    got = both.call(responders={"main": answer(headers=[("set-cookie", "a=1"), ("set-cookie", "b=2")])})
    assert got.headers.all("set-cookie") == ["a=1", "b=2", "c=3"] and got["x-joined"] == "a=1,b=2"


@lua("""
function envoy_on_request(h) h:headers():setHttp1ReasonPhrase("Fine") end
function envoy_on_response(h) h:headers():setHttp1ReasonPhrase("Splendid") end
""")
def test_reason_phrase_is_ignored_on_http2(both):
    assert both.call().status == 200
    both.errors(0)


@lua(FAILURE + """
function envoy_on_request(h)
  local headers = h:headers()
  headers:add("x-same", tostring(headers == h:headers()))
  headers:add("x-field", tostring(headers["x-a"]))
  headers:add("x-chain", failure(function() headers:add("x-a", "1"):add("x-b", "2") end) ~= "none" and "fails" or "works")
  headers:add("x-results", select("#", headers:remove("x-none")))
end
""")
def test_map_is_one_object_without_fields_and_writing_returns_nothing(both):
    seen = both.call().seen
    assert [seen[name] for name in ("x-same", "x-field", "x-chain", "x-results")] == ["true", "nil", "fails", "0"]


@differs("nil-for-nothing")
@lua("""
function envoy_on_request(h)
  h:headers():add("x-count", select("#", h:headers():get("x-none")))
  h:headers():add("x-text", tostring(h:headers():get("x-none")))
end
""")
def test_missing_header_is_nil(both):
    envoy, moongate = both.apart()
    assert (envoy.seen["x-count"], envoy.seen["x-text"]) == ("0", None)
    assert (moongate.seen["x-count"], moongate.seen["x-text"]) == ("1", "nil")


@differs("header-checks")
@lua("""
function envoy_on_request(h)
  h:headers():add("x-before", "1")
  h:headers():add("x-inj", "a\\r\\nx-evil: 1")
end
""", path="/crlf")
@lua("""function envoy_on_request(h) h:headers():add("x-zero", "a\\0b") end""", path="/nul")
@lua("""function envoy_on_request(h) h:headers():add("bad header", "1") end""", path="/name")
@pytest.mark.parametrize("path", ["/crlf", "/nul", "/name"])
def test_what_would_malform_a_message_raises(both, path):
    envoy, moongate = both.apart(path=path)
    assert moongate.status == 200 and "x-evil" not in str(moongate)
    assert moongate.seen["x-inj"] is None and moongate.seen["x-zero"] is None and moongate.seen["bad header"] is None
    assert both.edges[-1].errors() == 1


@differs("header-blanks")
@lua("""function envoy_on_request(h) h:headers():add("x-blank", " a b ") end""")
def test_blanks_at_the_ends_of_values(both):
    envoy, moongate = both.apart()
    assert envoy.seen["x-blank"].endswith(" ") and moongate.seen["x-blank"] == "a b"


@differs("required-headers")
@lua("""function envoy_on_request(h) h:headers():remove(":path") end""", path="/path")
@lua("""function envoy_on_response(h) h:headers():remove(":status") end""", path="/status")
@pytest.mark.parametrize("path, status", [("/path", 404), ("/status", 502)])
def test_required_pseudo_headers_stay(both, path, status):
    envoy, moongate = both.apart(path=path)
    assert envoy.status == status and moongate.status == 200
