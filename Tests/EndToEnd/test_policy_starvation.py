"""A policy, or the callers of one, tries to starve, empty, stop or confuse a second policy. In each case the second policy's calls
all go through, its globals last, and its worker answers in time."""
import threading
import time

import grpc
import pytest

from harness.client import seen_metadata
from harness.settings import configuration, route
from harness.stubs import HelloRequest
from harness.waiting import eventually

PRELUDE = """
local moon = require "moon"
kept = {}
local function leak(count) for _ = 1, count do kept[#kept + 1] = ("x"):rep(1000) .. #kept end end
"""

# What the policy has beside an empty request hook, or in the place of it. `handle` is the request's.
HOOKS = {
    "leak-in-request": "function on_request(handle) leak(40) end",
    "leak-in-response": "function on_request() end function on_response(handle) leak(40) end",
    "leak-in-log": "function on_log(handle) leak(40) end",
    "leak-in-messages": "function on_grpc_message(handle, message) leak(40) end",
    "leak-in-timer": "moon.timer.every(0.01, function() leak(40) end) function on_request() end",
    "leak-of-coroutines": "function on_request() for _ = 1, 50 do kept[#kept + 1] = coroutine.create(print) end end",
    "leak-of-closures": "function on_request() for i = 1, 2000 do kept[#kept + 1] = function() return i end end end",
    "leak-of-handles": "function on_request(handle) for _ = 1, 200 do kept[#kept + 1] = {handle, handle:headers()} end leak(9) end",
    "leak-of-contexts": "function on_request(handle) kept[#kept + 1] = handle:ctx() handle:ctx().t = {} leak(20) end",
    "leak-of-limits": "function on_request() for i = 1, 50 do kept[#kept + 1] = moon.limit{rate = i, name = 'n' .. #kept} end leak(9) end",
    "leak-of-sets": "function on_request() for i = 1, 5 do kept[#kept + 1] = moon.cidr({'10.0.0.0/8', '192.168.0.0/16'}) end leak(9) end",
    "grow-at-once": "function on_request() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end",
    "grow-in-pcall": "function on_request() while true do pcall(function() leak(1e9) end) end end",
    "grow-by-doubling": "function on_request() local s = 'x' while true do s = s .. s end end",
    "grow-by-buffers": "function on_request() local t = {} for i = 1, 1e9 do t[i] = string.char(i % 256):rep(1 << 16) end end",
    "grow-in-response": "function on_response(handle) local t = {} while true do t = {t} end end",
    "spin-in-request": "function on_request() while true do end end",
    "spin-in-response": "function on_response() while true do end end",
    "spin-in-log": "function on_log() while true do end end",
    "spin-in-messages": "function on_grpc_message(handle, message) while true do end end",
    "spin-in-timer": "moon.timer.every(0.05, function() while true do end end) function on_request() end",
    "spin-in-close": "function on_request() local x <close> = setmetatable({}, {__close = function() while true do end end}) end",
    "spin-in-index": "function on_request() table.concat(setmetatable({}, {__index = tostring}), ',', 1, 1e7) end",
    "spin-in-sort": "function on_request() local t = {} for i = 1, 5e4 do t[i] = i end while true do table.sort(t, rawequal) end end",
    "spin-below-the-tick": "function on_request() local e = os.clock() + 0.008 while os.clock() < e do end end",
    "spin-and-wait": "function on_request() for _ = 1, 50 do local e = os.clock() + 0.005 while os.clock() < e do end moon.sleep(0) end end",
    "thousand-timers": "for _ = 1, 1024 do moon.timer.every(0.2, function() local t = {} end) end function on_request() end",
    "timers-beyond": "function on_request() for _ = 1, 2000 do moon.timer.after(60, function() end) end end",
    "endless-sleep": "function on_request() moon.sleep(30) end",
    "fill-the-context": "function on_request(handle) for i = 1, 1000 do handle:ctx()['k' .. i] = ('x'):rep(9000) end end",
    "keys-without-end": "local l = moon.limit{rate = 1, keys = 100} n = 0 function on_request() for _ = 1, 3000 do n = n + 1 l:take('k' .. n) end end",
    "long-keys": "local l = moon.limit{rate = 1} n = 0 function on_request() for _ = 1, 500 do n = n + 1 l:take(('k'):rep(900) .. n) end end",
    "slots-without-end": "local l = moon.concurrency{max = 9} n = 0 function on_request() for _ = 1, 300 do n = n + 1 l:take('k' .. n) end end",
    "series-without-end": "local c = moon.metrics.counter('guilty_total', 'x', {'l'}) n = 0 function on_request() for _ = 1, 500 do n = n + 1 c:inc('v' .. n) end end",
    "dict-without-end": "local d = moon.dict('guilty', {max = 100}) n = 0 function on_request() for _ = 1, 500 do n = n + 1 d:set('k' .. n, ('v'):rep(900)) end end",
    "metadata-without-end": "function on_request(h) local m = h:streamInfo():dynamicMetadata() for i = 1, 1e6 do m:set('n', 'k' .. i, ('x'):rep(500)) end end",
    "headers-without-end": "function on_request(h) for i = 1, 1e6 do h:headers():add('x-' .. i, ('x'):rep(100)) end end",
    "errors": "function on_request() error({}) end",
    "deep-recursion": "function on_request() local function f() return 1 + f() end f() end",
    "many-log-lines": "function on_request() for i = 1, 2000 do print('line ' .. i) end end",
}

# The second policy counts, and uses what a first one might take from it.
INNOCENT = """
local moon = require "moon"
local limit = moon.limit{rate = 100000, name = "login"}
local count = 0
moon.timer.every(0.1, function() ticks = (ticks or 0) + 1 end)
function on_request(handle)
  count = count + 1
  assert(limit:take("user"))
  handle:ctx().mine = "kept"
  local t = {}
  for i = 1, 50 do t[i] = {i} end
  handle:headers():add("x-count", tostring(count))
  handle:headers():add("x-ticks", tostring(ticks or 0))
end
function on_response(handle) assert(handle:ctx().mine == "kept") end
"""


class Witness:
    """Makes calls of the second policy all the time."""

    def __init__(self, caller):
        self.failures, self.times, self.counts = [], [], []
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
                self.counts.append(int(seen_metadata(self._caller.unary())["x-count"][0]))
            except grpc.RpcError as error:
                self.failures.append(error)
            self.times.append(time.monotonic() - began)

    @property
    def slow(self):
        """The time that one call in twenty takes longer than."""
        return sorted(self.times)[int(len(self.times) * 0.95)]


@pytest.mark.plain
@pytest.mark.parametrize("attack", HOOKS)
def test_no_policy_starves_a_second_one(moongate, backend, client, attack):
    routes = [
        {"name": "innocent", "match": {"method": "Unary"}, "upstream": "main", "policies": ["policies/innocent.lua"]},
        route(policies=[{"policy": "policies/guilty.lua", "memory_limit": "1MiB", "time_limit": "20ms"}]),
    ]
    proxy = moongate(
        configuration(backend.address, routes=routes, workers=1),
        policies={"guilty.lua": PRELUDE + HOOKS[attack], "innocent.lua": INNOCENT})
    attackers = [client(proxy.address) for _ in range(2)]
    caller = client(proxy.address)
    first = int(seen_metadata(caller.unary())["x-count"][0])
    before = proxy.resident_bytes()
    with Witness(caller) as witness:
        deadline = time.monotonic() + 1.2
        while time.monotonic() < deadline:
            # Those that wait are given up after a while.
            calls = [one.greeter.SayHello.future(_hello(), timeout=0.3) for one in attackers for _ in range(8)]
            for call in calls:
                call.exception(5)
    assert not witness.failures, witness.failures[0]
    # Nothing of it began anew, and nothing was lost.
    assert witness.counts == list(range(first + 1, first + 1 + len(witness.counts)))
    assert proxy.metric("moongate_policy_errors_total", policy="innocent") == 0
    assert proxy.metric("moongate_policy_memory_exceeded_total", policy="innocent") == 0
    ticks = int(seen_metadata(caller.unary())["x-ticks"][0])
    eventually(lambda: int(seen_metadata(caller.unary())["x-ticks"][0]) > ticks, 5, what="its timer runs")
    # Generous, since the machine may be busy: a call waits for two overruns at most.
    assert witness.slow < 0.5
    assert proxy.resident_bytes() - before < 64 << 20


def _hello():
    return HelloRequest(name="x")


def test_reloads_while_a_policy_leaks_and_its_engines_are_replaced(moongate, backend, client):
    """Engines of one policy come and go in all ways at once, and the other one never notices."""
    guilty = PRELUDE + """
        function on_request(handle)
          leak(60)
          if #kept % 7 == 0 then moon.sleep(0.05) end
        end
        function on_close() moon.sleep(0.2) end"""
    routes = [
        {"name": "innocent", "match": {"method": "Unary"}, "upstream": "main", "policies": ["policies/innocent.lua"]},
        route(policies=[{"policy": "policies/guilty.lua", "memory_limit": "1MiB"}]),
    ]
    proxy = moongate(
        configuration(backend.address, routes=routes, workers=2),
        policies={"guilty.lua": guilty, "innocent.lua": INNOCENT})
    attackers = [client(proxy.address) for _ in range(3)]
    caller = client(proxy.address)
    with Witness(caller) as witness:
        deadline = time.monotonic() + 15
        while not proxy.metric("moongate_policy_engine_replacements_total"):
            assert time.monotonic() < deadline, "no engine was replaced"
            for call in [one.greeter.SayHello.future(_hello(), timeout=2) for one in attackers]:
                call.exception(5)
        for number in range(12):
            calls = [one.greeter.SayHello.future(_hello(), timeout=2) for one in attackers for _ in range(10)]
            generation = proxy.generation()
            proxy.overwrite("policies/guilty.lua", guilty + f" -- {number}")
            for call in calls[::3]:
                call.cancel()
            proxy.wait_generation(generation + 1)
            for call in calls[1::3]:
                call.exception(5)
    assert not witness.failures, witness.failures[0]
    assert witness.counts == list(range(witness.counts[0], witness.counts[0] + len(witness.counts)))
    eventually(lambda: proxy.metric("moongate_policy_old_engines") == 0, 15, what="old engines end")
