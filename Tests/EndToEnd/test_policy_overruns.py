"""Scripts that try to pass the time limit by: each fails, and other routes of the same worker go on."""
import threading
import time

import grpc

from harness.settings import configuration, route
from harness.stubs import Order

PRELUDE = """
local moon = require "moon"
local big, sparse = {}, {}
for i = 1, 4000 do big[i] = i end
for i = 1, 200 do sparse[i * 1000] = i end
local text = ("x"):rep(1 << 18)
local shown = setmetatable({}, {__index = tostring})
local encoded = setmetatable({}, {__index = function(_, k) return moon.json.encode({k}) end})
local direct = setmetatable(sparse, {__index = moon.json.encode})
local ways = {}
"""

WAYS = {
    "concat": "while true do pcall(table.concat, direct, ',', 1, 1e6) end",
    "concat-text": "while true do pcall(table.concat, shown, ',', 1, 1e6) end",
    "move": "while true do pcall(table.move, direct, 1, 1e6, 1, {}) end",
    "move-shown": "while true do pcall(table.move, shown, 1, 1e6, 1, {}) end",
    "unpack": "while true do pcall(table.unpack, shown, 1, 1e5) end",
    "insert": "local t = setmetatable({}, {__index = tostring, __len = function() return 999999 end}) while true do pcall(table.insert, t, 1, 'x') end",
    "gsub-table": "while true do pcall(string.gsub, text, '()', shown) end",
    "gsub-encode": "while true do pcall(string.gsub, text, '()', direct) end",
    "gsub-function": "while true do pcall(string.gsub, text, '.', moon.crypto.sha256) end",
    "format": "local t = setmetatable({}, {__tostring = moon.json.encode}) while true do pcall(string.format, '%s', t) end",
    "print": "local t = setmetatable({}, {__tostring = function() return moon.json.encode(big) end}) while true do pcall(print, t) end",
    "sort": "while true do pcall(table.sort, big, rawequal) end",
    "sort-encode": "while true do pcall(table.sort, big, moon.json.encode) end",
    "pcall": "while true do pcall(moon.json.encode, big) end",
    "xpcall": "while true do xpcall(moon.json.encode, moon.json.encode, sparse) end",
    "wrap": "while true do coroutine.wrap(moon.json.encode)(big) end",
    "coroutine": "local c = coroutine.create(function() while true do pcall(moon.json.encode, big) end end) coroutine.resume(c) while true do end",
    "wrap-in-index": "local t = setmetatable({}, {__index = coroutine.wrap(function() while true do coroutine.yield 'x' end end)}) while true do pcall(table.concat, t, ',', 1, 1e6) end",
    "close": "local x <close> = setmetatable({}, {__close = function() while true do pcall(moon.json.encode, big) end end})",
    "load": "while true do load(moon.json.encode) load(function() return moon.json.encode(big) end) end",
    "tail-call": "local function f() pcall(moon.json.encode, big) return f() end f()",
    "goto": "::a:: pcall(moon.json.encode, big) goto a",
    "iterator": "for _ in moon.json.encode, big do end while true do for _ in next, big do end end",
    "encode-shared": "local u = {} for i = 1, 1e5 do u[i] = big end while true do pcall(moon.json.encode, u) end",
    "decode": "local t = '[' .. ('1.5,'):rep(2e5) .. '1]' while true do moon.json.decode(t) end",
    "hash": "local t = text:rep(1) while true do moon.crypto.sha512(t) moon.crypto.md5(t) end",
    "base64": "while true do moon.base64.decode(moon.base64.encode(text)) end",
    "escape": "while true do moon.url.unescape(moon.url.escape(text)) end",
    "pattern": "('a'):rep(30000):find('.-.-.-b')",
    "upper": "while true do text:upper() text:reverse() end",
    "headers": "local h = handle:headers() while true do for i = 1, 50 do h:replace('x-' .. i, 'y') end end",
    "cookies": "while true do pcall(handle.headers, handle) for _ in pairs(handle:headers()) do end end",
}

POLICY = (
    PRELUDE
    + "\n".join(f'ways["{name}"] = function(handle) {body} end' for name, body in WAYS.items())
    + "\nfunction on_request(handle) ways[handle:headers():get('x-mode')](handle) end"
)


def test_no_way_passes_the_time_limit_by(moongate, backend, client):
    routes = [
        {"name": "guilty", "match": {"method": "Unary"}, "upstream": "main",
         "policies": [{"policy": "policies/guilty.lua", "time_limit": "50ms", "memory_limit": "32MiB"}]},
        route(),
    ]
    proxy = moongate(
        configuration(
            backend.address, routes=routes, workers=1,
            listeners=[{"name": "main", "address": "127.0.0.1:0",
                        "forwarded": {"trusted": ["127.0.0.0/8"], "trusted_hops": 1}}]),
        policies={"guilty.lua": POLICY})
    guilty, innocent = client(proxy.address), client(proxy.address)
    over, slowest, failed = threading.Event(), [0.0], []

    def call_on():
        while not over.is_set():
            begin = time.monotonic()
            try:
                innocent.hello()
            except Exception as error:  # reported below
                failed.append(error)
            slowest[0] = max(slowest[0], time.monotonic() - begin)

    thread = threading.Thread(target=call_on)
    thread.start()
    try:
        for number, name in enumerate(WAYS):
            # Each for a client of its own: the third overrun of one within ten seconds would be refused.
            metadata = [("x-mode", name), ("x-forwarded-for", f"192.0.2.{number + 1}")]
            error = guilty.probe.Unary.future(Order(), timeout=20, metadata=metadata).exception(25)
            assert error is not None and error.code() is grpc.StatusCode.INTERNAL, (name, error)
    finally:
        over.set()
        thread.join()
    assert not failed
    # A worker that a script holds for good answers nobody: generous, since the machine may be busy.
    assert slowest[0] < 5
    assert proxy.metric("moongate_policy_errors_total", policy="guilty", reason="time_limit") == len(WAYS)
