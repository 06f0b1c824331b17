"""Loading scripts and running them."""
import pytest

from harness.compat import differs, lua, refusals
from harness.recording import answer


def test_C01_syntax_error_at_load_is_rejected_and_names_the_line(tmp_path):
    for said in refusals(tmp_path, "function envoy_on_request(h)\n  local x = = 1\nend\n"):
        assert said and ":2:" in said


def test_C02_error_at_the_top_of_the_script_is_rejected(tmp_path):
    for said in refusals(tmp_path, "local x = 1\nerror('not in the mood')\n"):
        assert said and "not in the mood" in said and ":2:" in said


@differs("no-hooks")
def test_C03_envoy_takes_a_script_without_hooks_and_moongate_does_not(tmp_path):
    """A guard whose hook is local, or misspelt, would let everybody pass."""
    said = refusals(tmp_path, "local function nothing_to_call() end")
    assert said[0] is None and all("has no hooks" in text for text in said[1:])


@lua("""function envoy_on_request(h) h:headers():add("x-hook", "request") end""", path="/request")
@lua("""function envoy_on_response(h) h:headers():add("x-hook", "response") end""", path="/response")
def test_C04_one_hook_alone_works(both):
    request = both.call(path="/request")
    assert request.seen["x-hook"] == "request" and request["x-hook"] is None
    response = both.call(path="/response")
    assert response["x-hook"] == "response" and response.seen["x-hook"] is None
    assert both.each(lambda edge: edge.runs()) == 2


@lua("""
count = 0
function envoy_on_request(h)
  count = count + 1
  h:headers():add("x-count", count)
end
""")
def test_C05_globals_live_from_request_to_request(both):
    assert [both.call().seen["x-count"] for _ in range(3)] == ["1", "2", "3"]


@lua("""
function envoy_on_request(h)
  if kept then kept:headers():add("x-stale", "1") end
  kept = h
end
""")
def test_C06_handle_kept_in_a_global_fails_in_the_next_request(both):
    both.call()
    assert both.call().seen["x-stale"] is None
    both.errors(1)


@lua("""
function envoy_on_request(h)
  h:headers():add("x-before", "1")
  local nothing
  nothing.field = 1
end
""")
def test_C07_error_on_headers_is_counted_once_and_body_and_trailers_pass(both):
    got = both.call(chunks=[b"ab", b"cd"], trailers=[("x-end", "1")])
    assert got.seen.body == b"abcd" and got.seen.trailers["x-end"] == "1" and got.body == b"hello"
    both.errors(1)


@lua("""
function envoy_on_request(h)
  h:headers():add("x-added", "1")
  h:headers():replace("x-changed", "new")
  h:headers():remove("x-gone")
  error("late")
end
""")
def test_C08_changes_before_an_error_are_kept(both):
    got = both.call(headers=[("x-changed", "old"), ("x-gone", "1")])
    assert (got.seen["x-added"], got.seen["x-changed"], got.seen["x-gone"]) == ("1", "new", None)
    both.errors(1)


@lua("""
function envoy_on_request(h) error("one") end
function envoy_on_response(h) error("two") end
""")
def test_C09_errors_of_both_hooks_are_counted(both):
    assert both.call().status == 200
    both.errors(2)


@lua("""
function envoy_on_request(h)
  for name in pairs(h:headers()) do error("in the loop at " .. name) end
end
function envoy_on_response(h) h:headers():add("x-after", "1") end
""")
def test_C10_error_within_pairs(both):
    assert both.call(body=b"x").seen.body == b"x"
    both.errors(1)


@lua("function envoy_on_request(h) error({}) end", path="/table")
@lua("function envoy_on_request(h) error() end", path="/nothing")
def test_C11_errors_that_are_no_text(both):
    for path in ("/table", "/nothing"):
        assert both.call(path=path).status == 200
    both.errors(2)
    for edge in both.edges:
        assert sum("unspecified lua error" in line for line in edge.process.lines[edge.log_start:]) == 2


@lua("""
function envoy_on_request(h)
  h:headers():add("x-before", "1")
  coroutine.yield()
  h:headers():add("x-after", "1")
end
""")
def test_C12_bare_yield_is_an_error(both):
    got = both.call()
    assert got.seen["x-before"] == "1" and got.seen["x-after"] is None
    both.errors(1)
    for edge in both.edges:
        edge.process.wait_for_line("unexpected yield", 3, edge.log_start)


@lua("""
function envoy_on_request(h)
  local numbers = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
  h:headers():add("x-sum", numbers() + numbers() + numbers())
end
""")
def test_C13_coroutines_of_the_script_work(both):
    assert both.call().seen["x-sum"] == "6"


@lua("""
function envoy_on_response(h) h:headers():add("x-status-seen", h:headers():get(":status")) end
""")
def test_C14_no_hook_runs_for_interim_answers(both):
    def interim_first(connection, head):
        connection.send_headers(head.stream, [(":status", "103"), ("link", "</a.css>")])
        answer()(connection, head)

    got = both.call(responders={"main": interim_first})
    assert got.status == 200 and got["x-status-seen"] == "200"
    assert both.each(lambda edge: edge.runs()) == 1


@lua("""
function envoy_on_request(h)
  h:headers():add("x-before", "1")
  h:nosuch()
end
""")
def test_C15_unknown_method_is_an_error_and_the_request_goes_on(both):
    assert both.call().seen["x-before"] == "1"
    both.errors(1)


@differs("fails-closed")
@lua("""
function envoy_on_request(h)
  h:headers():add("x-before", "1")
  error("the default denies")
end
""", moongate={"on_error": "deny"})
def test_failing_script_denies_by_default(both):
    envoy, moongate = both.apart()
    assert envoy.status == 200 and moongate.status == 500 and moongate.upstreams == {}
    envoy, moongate = both.apart(grpc=True, body=b"\0\0\0\0\0")
    assert envoy.grpc_status == "0" and moongate.grpc_status == "13"


@differs("own-answers")
@lua("function envoy_on_response(h) end", path="/there")
def test_answers_of_the_proxy(both):
    envoy, moongate = both.apart(path="/elsewhere")
    assert envoy.status == moongate.status == 404
    assert envoy.body == b"" and moongate.body == b"no route matches the request"


@differs("file-names")
@lua("""
function envoy_on_request(h)
  local _, message = pcall(error, "x", 1)
  local _, where = pcall(function() error("here") end)
  h:headers():add("x-where", where)
end
""")
def test_errors_begin_with_the_name_of_the_file(both):
    envoy, moongate = both.apart()
    assert envoy.seen["x-where"] == '[string "..."]:4: here'
    assert moongate.seen["x-where"] == f"policies/{both.edges[-1].case.name}-0.lua:4: here"


@pytest.mark.plain
@differs("limits")
@lua("""
function envoy_on_request(h)
  h:headers():add("x-before", "1")
  local started = os.clock()
  while os.clock() - started < 0.3 do end
  h:headers():add("x-after", "1")
end
""")
def test_scripts_that_do_not_end_are_stopped(both):
    envoy, moongate = both.apart()
    assert envoy.seen["x-after"] == "1" and moongate.seen["x-after"] is None and moongate.seen["x-before"] == "1"
