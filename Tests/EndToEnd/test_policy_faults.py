"""Scripts that fail, run away, or reach for what they must not have."""
import os
import time

import grpc
import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

SECRET = "secret-of-the-script"


@pytest.fixture
def faulty(moongate, backend, client):
    """Starts a proxy with a policy of this text on method `Unary` alone; gives the proxy and a client."""
    def start(text, **more):
        reference = {"policy": "policies/faulty.lua", **more.pop("reference", {})}
        faulty = {"name": "faulty", "match": {"method": "Unary"}, "upstream": "main", "policies": [reference]}
        routes = [faulty, route()]
        proxy = moongate(configuration(backend.address, routes=routes, **more), policies={"faulty.lua": text})
        return proxy, client(proxy.address)

    return start


def assert_denied(error, code=grpc.StatusCode.INTERNAL):
    assert error.code() is code, error
    for part in (SECRET, "faulty.lua", "stack traceback", "attempt to"):
        assert part not in error.details(), "the Lua text must not reach the client"


def test_S7_script_error_is_internal_and_the_log_has_file_line_and_traceback(faulty):
    proxy, caller = faulty(f"""
        local function inner() error("{SECRET}") end
        function on_request(handle)
          inner()
        end""")
    assert_denied(caller.refused())
    line = proxy.wait_for_line(SECRET, 3)
    assert "faulty.lua:2" in line
    assert "traceback" in proxy.output()
    assert caller.hello()
    assert proxy.metric("moongate_policy_errors_total", hook="on_request", reason="script") + proxy.metric(
        "moongate_policy_errors_total", hook="request", reason="script") == 1


def test_script_error_carries_a_request_id_that_the_log_has_too(faulty):
    proxy, caller = faulty("function on_request(handle) local x = nil; x.y = 1 end")
    error = caller.refused()
    ids = [word.strip("().,:;") for word in error.details().split() if len(word.strip("().,:;")) >= 8]
    eventually(lambda: any(word in proxy.output() for word in ids), 3, what=f"one of {ids} in the log")


def test_S7_script_error_of_a_plain_http_request_is_500(moongate, upstream, connect):
    proxy = moongate(
        configuration(upstream().address, routes=[route(policies=[{"policy": "policies/p.lua"}])]),
        policies={"p.lua": f'function on_request(h) error("{SECRET}") end'})
    frames = connect(proxy.address).call(request(method="GET", content_type=""))
    assert frames[0].get(":status") == "500"
    assert SECRET.encode() not in b"".join(frame.data for frame in frames)


def test_error_in_the_response_hook_is_internal(faulty):
    _, caller = faulty(f'function on_response(handle) error("{SECRET}") end')
    assert_denied(caller.refused())
    assert caller.hello()


def test_on_error_continue_lets_the_request_go_on_with_the_edits_made_before(faulty):
    proxy, caller = faulty("""
        function on_request(handle)
          handle:headers():add("x-before", "1")
          error("oops")
        end""", reference={"on_error": "continue"})
    assert seen_metadata(caller.unary())["x-before"] == [b"1"]
    proxy.wait_for_line("oops", 3)


@pytest.mark.plain
@pytest.mark.parametrize("body", [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "local function f() return f() end f()",
    "for i = 1, math.huge do local s = i .. '' end",
    "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) local x = t[1]",
    "string.rep('x', 1e9):find(('x*'):rep(20) .. 'y')",
    "local s = ('a'):rep(100000) for i = 1, 1e9 do s:find('.-b') end",
], ids=["loop", "loop in pcall", "loop in coroutine", "tail calls", "concatenation", "metamethods", "pattern", "finds"])
def test_runaway_script_is_stopped_and_the_worker_goes_on(faulty, body):
    proxy, caller = faulty(f"function on_request(handle) {body} end")
    assert caller.hello()
    began = time.monotonic()
    assert_denied(caller.refused(timeout=10))
    assert time.monotonic() - began < 2
    began = time.monotonic()
    assert caller.hello()
    assert time.monotonic() - began < 1
    assert proxy.metric("moongate_policy_errors_total") >= 1


@pytest.mark.parametrize("body, code", [
    ("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ("local s = 'x' while true do s = s .. s end", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ("string.rep('x', 1e10)", grpc.StatusCode.INTERNAL),
    ("local t = {} while true do t = {t} end", grpc.StatusCode.RESOURCE_EXHAUSTED),
], ids=["table", "doubling", "rep", "nesting"])
def test_endless_allocation_is_stopped_and_the_worker_goes_on(faulty, body, code):
    proxy, caller = faulty(
        f"function on_request(handle) {body} end", policies={"memory_limit": "32MiB", "time_limit": "500ms"})
    caller.hello()
    before = proxy.resident_bytes()
    for _ in range(5):
        assert_denied(caller.refused(timeout=10), code)
    assert caller.hello()
    # The address sanitizer holds freed memory back.
    if not os.environ.get("MOONGATE_SANITIZER"):
        assert proxy.resident_bytes() - before < 100 << 20


@pytest.mark.plain
def test_time_limit_counts_and_other_calls_go_on_meanwhile(faulty):
    _, caller = faulty("function on_request(handle) while true do end end", policies={"time_limit": "20ms"})
    calls = [caller.probe.Unary.future(Order(), timeout=20) for _ in range(10)]
    others = [caller.hello() for _ in range(10)]
    assert len(others) == 10
    codes = [call.exception(20).code() for call in calls]
    # From the third on the client is refused.
    assert codes.count(grpc.StatusCode.INTERNAL) == 2
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 8


def test_bare_yield_is_an_error(faulty):
    _, caller = faulty("function on_request(handle) coroutine.yield() end")
    assert_denied(caller.refused())
    assert caller.hello()


@pytest.mark.parametrize("expression", [
    "io", "os.execute", "os.remove", "os.exit", "debug", "dofile", "loadfile", "package.loadlib",
    "load(string.dump(function() end), 'x', 'b')",
])
def test_dangerous_functions_are_closed(faulty, expression):
    _, caller = faulty(f"""
        function on_request(handle)
          local ok, value = pcall(function() return {expression} end)
          handle:headers():add("x-open", tostring(ok and value ~= nil))
        end""")
    assert seen_metadata(caller.unary())["x-open"] == [b"false"]


def test_handle_kept_beyond_its_request_is_dead_but_harmless(faulty):
    _, caller = faulty("""
        local kept
        function on_request(handle)
          if kept then
            local ok = pcall(function() return kept:headers():get(":path") end)
            local ok2 = pcall(function() return keptheaders:get(":path") end)
            handle:headers():add("x-alive", tostring(ok or ok2))
          end
          kept = handle
          keptheaders = handle:headers()
        end""")
    caller.unary()
    for _ in range(3):
        assert seen_metadata(caller.unary())["x-alive"] == [b"false"]


@pytest.mark.parametrize("name, value", [
    ("x-a", r"a\r\nx-injected: 1"), ("x-a", r"a\0b"), ("bad name", "v"), ("", "v")])
def test_header_injection_is_an_error(faulty, name, value):
    _, caller = faulty(f'function on_request(handle) handle:headers():add("{name}", "{value}") end')
    assert_denied(caller.refused())
    assert caller.hello()


def test_one_failing_policy_does_not_stop_other_routes(faulty):
    _, caller = faulty(f'function on_request(handle) error("{SECRET}") end')
    for _ in range(20):
        assert_denied(caller.refused())
        assert caller.hello()
