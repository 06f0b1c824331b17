"""Policies apart: each file has a script engine of its own, which no other policy fills, stops or restarts."""
import threading
import time

import grpc
import pytest

from harness.client import seen_metadata
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

COUNTER = """
local count = 0
function on_request(handle)
  count = count + 1
  handle:headers():add("x-{name}", tostring(count))
end"""


@pytest.fixture(params=[1, 2], ids=["one-worker", "two-workers"])
def edge(moongate, backend, client, request):
    """One policy each for `Unary` (guilty) and the greeter (innocent); gives the proxy and a client."""
    def start(guilty, innocent="function on_request() end", reference=None, policies=None, **more):
        routes = [
            {"name": "guilty", "match": {"method": "Unary"}, "upstream": "main",
             "policies": [{"policy": "policies/guilty.lua", **(reference or {})}]},
            route(policies=["policies/innocent.lua"]),
        ]
        more.setdefault("workers", request.param)
        proxy = moongate(
            configuration(backend.address, routes=routes, policies=policies or {}, **more),
            policies={"guilty.lua": guilty, "innocent.lua": innocent})
        return proxy, client(proxy.address)

    return start


@pytest.fixture
def chain(moongate, backend, client):
    """Two policies on every route, one worker; gives the proxy and a client."""
    def start(first, second, **more):
        routes = [route(policies=["policies/first.lua", "policies/second.lua"])]
        proxy = moongate(
            configuration(backend.address, routes=routes, workers=1, **more),
            policies={"first.lua": first, "second.lua": second})
        return proxy, client(proxy.address)

    return start


# Reloads

def test_a_reload_replaces_only_the_policies_that_changed(chain):
    proxy, caller = chain(COUNTER.format(name="first"), COUNTER.format(name="second"))
    for _ in range(3):
        caller.unary()
    generation = proxy.generation()
    proxy.overwrite("policies/second.lua", COUNTER.format(name="second") + " -- changed")
    proxy.wait_generation(generation + 1)
    seen = seen_metadata(caller.unary())
    assert (seen["x-first"], seen["x-second"]) == ([b"4"], [b"1"])


def test_timers_of_an_unchanged_policy_go_on_over_a_reload(chain):
    proxy, caller = chain("""
        local moon, runs = require "moon", 0
        moon.timer.every(0.02, function() runs = runs + 1 end)
        function on_request(handle) handle:headers():add("x-first", tostring(runs)) end""", COUNTER.format(name="second"))
    eventually(lambda: int(seen_metadata(caller.unary())["x-first"][0]) >= 10, 5, what="ten runs")
    for number in range(5):
        generation = proxy.generation()
        proxy.overwrite("policies/second.lua", COUNTER.format(name="second") + f" -- {number}")
        proxy.wait_generation(generation + 1)
    first = int(seen_metadata(caller.unary())["x-first"][0])
    assert first >= 10, "it was not loaded again"
    eventually(lambda: int(seen_metadata(caller.unary())["x-first"][0]) > first, 5, what="the timer runs")


def test_a_change_of_one_use_changes_no_other_policy(chain, backend):
    proxy, caller = chain(COUNTER.format(name="first"), COUNTER.format(name="second"))
    caller.unary()
    proxy.configure(configuration(
        backend.address, workers=1, routes=[route(policies=[
            "policies/first.lua", {"policy": "policies/second.lua", "settings": {"some": "thing"}}])]))
    proxy.reload()
    seen = seen_metadata(caller.unary())
    assert (seen["x-first"], seen["x-second"]) == ([b"2"], [b"1"])


# What policies share

def test_policies_share_neither_globals_nor_modules(moongate, backend, client):
    text = """
        local words = require "words"
        shared = (shared or 0) + 1
        words.count = words.count + 1
        function on_request(handle) handle:headers():add("x-{name}", shared .. " " .. words.count) end"""
    proxy = moongate(
        configuration(
            backend.address, policies={"path": ["policies"]},
            routes=[route(policies=["policies/first.lua", "policies/second.lua"])]),
        policies={"first.lua": text.format(name="first"), "second.lua": text.format(name="second"),
                  "words.lua": "return {count = 0}"})
    seen = seen_metadata(client(proxy.address).unary())
    assert (seen["x-first"], seen["x-second"]) == ([b"1 1"], [b"1 1"])


def test_ctx_shares_strings_numbers_and_booleans(chain):
    _, caller = chain("""
        function on_request(handle)
          local ctx = handle:ctx()
          ctx.text, ctx.whole, ctx.half, ctx.yes, ctx.gone = "ada", 7, 0.5, true, "x"
          ctx.mine = {"kept"}
          ctx[1] = "number key"
        end
        function on_response(handle)
          local ctx = handle:ctx()
          handle:headers():add("x-back", ctx.mine[1] .. " " .. ctx[1] .. " " .. tostring(ctx.gone) .. " " .. ctx.second)
        end""", """
        function on_request(handle)
          local ctx = handle:ctx()
          ctx.gone = nil
          ctx.second = "from second"
          local names = {}
          for name, value in pairs(ctx) do names[#names + 1] = name .. "=" .. tostring(value) end
          table.sort(names)
          handle:headers():add("x-names", table.concat(names, " "))
          handle:headers():add("x-json", tostring(#require("moon").json.encode(ctx)))
          local ok, problem = pcall(function() return ctx.mine end)
          handle:headers():add("x-problem", tostring(ok) .. " " .. problem)
          handle:headers():add("x-number-key", tostring(ctx[1]))
        end""")
    _, call = caller.probe.Unary.with_call(Order(), timeout=10)
    assert dict(call.initial_metadata())["x-back"] == "kept number key nil from second"
    seen = seen_metadata(caller.unary())
    assert seen["x-names"] == [b"half=0.5 second=from second text=ada whole=7 yes=true"]
    assert seen["x-problem"][0].startswith(b"false")
    assert b"first.lua" in seen["x-problem"][0] and b"strings, numbers and booleans" in seen["x-problem"][0]
    assert seen["x-number-key"] == [b"nil"]


def test_ctx_is_bounded_and_dead_behind_its_request(chain):
    _, caller = chain("""
        function on_request(handle)
          if kept then
            local ok, problem = pcall(function() return kept.x end)
            handle:headers():add("x-old", problem)
          end
          kept = handle:ctx()
          local ok, problem = pcall(function() for i = 1, 1000 do kept["k" .. i] = i end end)
          handle:headers():add("x-many", problem)
          ok, problem = pcall(function() kept.k1 = ("x"):rep(1 << 17) end)
          handle:headers():add("x-large", problem)
        end""", "function on_request() end")
    caller.unary()
    seen = seen_metadata(caller.unary())
    assert b"outside of proper scope" in seen["x-old"][0]
    assert b"ctx is full (256 keys" in seen["x-many"][0] and b"ctx is full" in seen["x-large"][0]


# Memory

class _Others:
    """Calls the greeter all the time, and notes failures and durations."""

    def __init__(self, caller):
        self.failures, self.times = [], []
        self._caller, self._stop = caller, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._caller.hello()
            except grpc.RpcError as error:
                self.failures.append(error)
            self.times.append(time.monotonic() - began)


GROW = "function on_request(handle) local kept = {} while true do kept[#kept + 1] = ('x'):rep(1000) .. #kept end end"
LEAK = """
kept = {}
function on_request(handle)
  for i = 1, 60 do kept[#kept + 1] = ("x"):rep(1000) .. #kept end
  handle:headers():add("x-count", tostring(#kept))
end"""


def test_a_run_that_asks_for_too_much_fails_alone(edge, client):
    proxy, caller = edge(
        "local count = 0 " + GROW.replace("local kept", "count = count + 1 if handle:headers():get('x-fine') then "
                                          "handle:headers():add('x-count', tostring(count)) return end local kept"),
        reference={"memory_limit": "1MiB"}, workers=1)
    with _Others(client(proxy.address)) as others:
        for _ in range(10):
            assert caller.refused().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            time.sleep(0.02)
    assert not others.failures
    # The state goes on: what it has counted is there.
    assert int(seen_metadata(client(proxy.address).unary(metadata=[("x-fine", "1")]))["x-count"][0]) == 11
    assert proxy.metric("moongate_policy_engine_replacements_total") == 0


def test_a_policy_that_leaks_gets_a_new_engine_and_no_other_does(edge, client):
    proxy, caller = edge(LEAK, COUNTER.format(name="innocent"), reference={"memory_limit": "1MiB"})
    codes = set()
    with _Others(client(proxy.address)) as others:
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            try:
                caller.unary()
                codes.add(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                codes.add(error.code())
    assert codes == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert not others.failures
    assert proxy.metric("moongate_policy_engine_replacements_total") >= 1
    assert proxy.metric("moongate_policy_memory_exceeded_total", policy="innocent") == 0


@pytest.mark.parametrize("innocent", [None, COUNTER.format(name="innocent")], ids=["no-policy", "another-policy"])
def test_streams_that_never_entered_a_replaced_engine_are_not_ended_for_it(moongate, backend, client, innocent):
    """The engine is replaced again and again, and old ones are to be ended at once; a stream of another route lives on."""
    routes = [
        {"name": "guilty", "match": {"method": "Unary"}, "upstream": "main",
         "policies": [{"policy": "policies/guilty.lua", "memory_limit": "1MiB"}]},
        route(policies=["policies/innocent.lua"] if innocent else []),
    ]
    proxy = moongate(
        configuration(
            backend.address, routes=routes, workers=1, reload={"max_generations": 1, "max_age": "1s", "when_exceeded": "reset"}),
        policies={"guilty.lua": LEAK, "innocent.lua": innocent or "-- unused"})
    more = threading.Event()

    def orders():
        yield Order(answer_bytes=3)
        more.wait(30)

    stream = client(proxy.address).probe.Bidi(orders(), timeout=60)
    next(stream)
    caller = client(proxy.address)

    def replaced():
        for _ in range(20):
            try:
                caller.unary()
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        return proxy.metric("moongate_policy_engine_replacements_total") >= 3

    eventually(replaced, 20, what="three replacements")
    # Nothing keeps an old engine: the stream has gone over to the new ones.
    eventually(lambda: proxy.metric("moongate_policy_old_engines") == 0, 15, what="no old generation")
    assert proxy.metric("moongate_policy_retired_streams_total") == 0
    more.set()
    assert len(list(stream)) == 0 and stream.code() is grpc.StatusCode.OK


WAIT = """
local moon = require "moon"
function on_request(handle)
  local bytes = tonumber(handle:headers():get("x-bytes") or "0")
  local held = ("x"):rep(bytes) .. "y"
  moon.sleep(tonumber(handle:headers():get("x-sleep") or "0"))
  handle:headers():add("x-held", tostring(#held))
end"""


def test_waiting_runs_of_one_client_hold_an_eighth(edge, client):
    proxy, caller = edge(WAIT, reference={"memory_limit": "4MiB"}, workers=1)
    heavy = [("x-bytes", "100000"), ("x-sleep", "3")]
    calls = [caller.probe.Unary.future(Order(), timeout=20, metadata=heavy) for _ in range(30)]
    codes = [call.exception(20) for call in calls]
    refused = [error for error in codes if error is not None]
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert 4 <= len(codes) - len(refused) <= 12, "an eighth of 4 MiB is five of 100 kB"
    assert caller.unary(metadata=[("x-bytes", "10")]), "and they are admitted again"


def test_a_policy_above_three_quarters_begins_no_runs_whatever_on_error_says(edge, client):
    text = """
        kept = {}
        local moon = require "moon"
        function on_request(handle)
          if handle:headers():get("x-wait") then moon.sleep(3) return end
          while collectgarbage("count") < 830 do kept[#kept + 1] = ("x"):rep(1000) .. #kept end
        end"""
    proxy, caller = edge(text, reference={"memory_limit": "1MiB", "on_error": "continue"}, workers=1)
    waiting = caller.probe.Unary.future(Order(), timeout=20, metadata=[("x-wait", "1")])
    time.sleep(0.3)
    assert caller.unary(), "this one fills the engine"
    assert caller.refused().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caller.hello()
    assert waiting.result(20), "a run that waits goes on"


@pytest.mark.parametrize("workers", [1, 2])
def test_the_sum_of_all_engines_is_bounded(moongate, backend, client, workers):
    """`policies.memory_limit` is full: the run that asks fails, and no other policy's engine is replaced."""
    def holds(count, hook):
        return f"kept = {{}} for i = 1, {count} do kept[i] = ('x'):rep(1000) .. i end function {hook}() local n = #kept end"

    routes = [
        {"name": "guilty", "match": {"method": "Unary"}, "upstream": "main", "policies": ["policies/guilty.lua"]},
        {"name": "third", "match": {"method": "Bidi"}, "upstream": "main", "policies": ["policies/third.lua"]},
        route(policies=["policies/innocent.lua"]),
    ]
    proxy = moongate(
        configuration(
            backend.address, routes=routes, workers=workers,
            policies={"memory_limit": "4MiB", "policy_memory_limit": "2MiB"}),
        policies={
            "guilty.lua": "function on_request() local t = {} for i = 1, 1300 do t[i] = ('x'):rep(1000) .. i end end",
            "innocent.lua": holds(1300, "on_request"), "third.lua": holds(1250, "on_log")})
    caller = client(proxy.address)
    assert caller.refused().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for _ in range(5):
        assert caller.hello()
    assert proxy.metric("moongate_policy_errors_total", policy="innocent") == 0
    assert proxy.metric("moongate_policy_memory_exceeded_total", policy="innocent") == 0


def test_policies_that_fill_all_memory_while_they_load_are_refused(moongate, backend):
    routes = [route(policies=[f"policies/{name}.lua" for name in "abc"])]
    text = "kept = {{}} for i = 1, 1350 do kept[i] = ('x'):rep(1000) .. i end function on_request() end -- {}"
    proxy = moongate(
        configuration(backend.address, routes=routes, policies={"memory_limit": "4MiB", "policy_memory_limit": "2MiB"}),
        policies={f"{name}.lua": text.format(name) for name in "abc"}, wait=False)
    assert proxy.wait(20) == 2
    assert "more than policies.memory_limit" in proxy.output()


def test_a_policy_that_leaves_no_room_for_runs_is_refused(moongate, backend):
    proxy = moongate(
        configuration(backend.address, routes=[route(policies=[{"policy": "policies/p.lua", "memory_limit": "1MiB"}])]),
        policies={"p.lua": "kept = {} for i = 1, 760 do kept[i] = ('x'):rep(1000) .. i end function on_request() end"},
        wait=False)
    assert proxy.wait(20) == 2
    assert "more than three quarters of its memory limit" in proxy.output()
