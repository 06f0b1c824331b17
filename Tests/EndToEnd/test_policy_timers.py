"""Timers of policies, and hooks that sleep."""
import time

import pytest

from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.waiting import eventually


@pytest.fixture
def timed(moongate, upstream, connect):
    """Starts a proxy with one policy; gives the proxy, a client and the upstream `main`."""
    def start(text, script=answer_ok, **more):
        server = upstream(script)
        proxy = moongate(
            configuration(server.address, routes=[route(policies=["policies/test.lua"])], **more),
            policies={"test.lua": text})
        return proxy, connect(proxy.address), server

    return start


def said(proxy, text):
    return sum(text in line for line in proxy.lines)


def result(client):
    frames = client.call(request())
    return next(frame for frame in frames if frame.type == "Headers").get("x-seen-x-result")


COUNT = """
  function on_request(handle) handle:headers():add("x-result", count) end
"""


def test_every_runs_again_and_again_and_after_runs_once(timed):
    proxy, client, _ = timed("""
        local moon = require "moon"
        count, once = 0, 0
        moon.timer.every(0.02, function() count = count + 1 end)
        function on_init() moon.timer.after(0.01, function() once = once + 1 end) end
        function on_request(handle) handle:headers():add("x-result", count .. " " .. once) end""")
    eventually(lambda: int(result(client).split()[0]) >= 5, 5, what="five runs")
    assert result(client).split()[1] == "1"
    assert proxy.metric("moongate_policy_runs_total", policy="test", hook="timer") >= 6


@pytest.mark.parametrize("options, workers", [("", 1), (', {worker = 0}', 1), (', {worker = "all"}', 3)])
def test_timers_that_are_set_while_loading_run_on_one_worker_or_on_all(timed, options, workers):
    proxy, _, _ = timed(f"""
        function on_init() moon.timer.after(0.01, function() print("timer ran") end{options}) end""", workers=3)
    eventually(lambda: said(proxy, "timer ran") >= workers, 5, what="the timers run")
    eventually(lambda: proxy.metric("moongate_policy_runs_total", hook="timer") == workers, 5, what="no more of them")


def test_timers_call_upstreams_and_do_not_overlap_themselves(timed):
    held = []
    proxy, _, server = timed("""
        function on_init()
          moon.timer.every(0.01, function()
            local got, problem = moon.http.get("main", "/refresh", {timeout = 10})
            print("refreshed " .. (got and got.status or problem))
          end)
        end""", script=lambda connection, head: held.append((connection, head)))
    eventually(lambda: held, 5, what="the first call")
    time.sleep(0.1)                       # ten more turns, which are left out
    assert len(held) == 1
    connection, head = held[0]
    connection.respond(head.stream)
    eventually(lambda: said(proxy, "refreshed 200"), 5, what="its answer")
    eventually(lambda: len(held) == 2, 5, what="the next turn")


def test_errors_of_timers_are_logged_and_counted_and_the_timer_goes_on(timed):
    proxy, _, _ = timed("""
        function on_init() moon.timer.every(0.01, function() error("no luck") end) end""")
    eventually(lambda: proxy.metric(
        "moongate_policy_errors_total", policy="test", hook="timer", reason="script") >= 3, 5, what="three errors")
    entries = proxy.wait_entries(lambda entry: "no luck" in entry["message"])
    assert {(entry["hook"], entry["policy"]) for entry in entries} == {("timer", "test")}


@pytest.mark.plain
def test_a_timer_that_does_not_end_is_stopped(timed):
    proxy, client, _ = timed("""
        count = 0
        function on_init() moon.timer.after(0.01, function() while true do end end) end""" + COUNT)
    eventually(lambda: proxy.metric(
        "moongate_policy_errors_total", hook="timer", reason="time_limit") == 1, 5, what="it was stopped")
    assert result(client) == "0"


def test_timers_end_with_the_reload_of_their_policy(timed):
    proxy, _, _ = timed("""
        function on_init() moon.timer.every(0.01, function() print("old timer") end) end""")
    eventually(lambda: said(proxy, "old timer"), 5, what="the first timer runs")
    proxy.write("policies/test.lua", """
        function on_init() moon.timer.every(0.01, function() print("new timer") end) end""")
    proxy.wait_generation(2)
    eventually(lambda: said(proxy, "new timer"), 5, what="the second timer runs")
    before = said(proxy, "old timer")
    eventually(lambda: said(proxy, "new timer") > 5, 5, what="it goes on")
    assert said(proxy, "old timer") <= before + 1


def test_a_reload_gives_up_what_a_timer_waits_for(timed):
    held = []
    proxy, _, _ = timed("""
        function on_init()
          moon.timer.after(0.01, function() moon.http.get("main", "/", {timeout = 60}) print("went on") end)
        end""", script=lambda connection, head: held.append((connection, head)))
    eventually(lambda: held, 5, what="the call")
    proxy.write("policies/test.lua", "function on_request() end")
    proxy.wait_generation(2)
    connection, head = held[0]
    connection.wait_for(lambda frame: frame.type == "RstStream" and frame.stream == head.stream, 5, "reset")
    assert not said(proxy, "went on")


def test_a_reload_without_a_change_of_policies_keeps_timers_and_gives_them_the_new_upstreams(timed, upstream):
    calls = []

    def count(connection, head):
        calls.append(head)
        connection.respond(head.stream)

    fresh = upstream(count)
    proxy, client, server = timed("""
        count = 0
        function on_init()
          moon.timer.every(0.01, function()
            count = count + 1
            pcall(moon.http.get, "fresh", "/")
          end)
        end""" + COUNT)
    eventually(lambda: int(result(client)) > 2, 5, what="some runs")
    before = int(result(client))
    proxy.configure(configuration(
        server.address, routes=[route(policies=["policies/test.lua"])], upstreams={"fresh": [fresh.address]}))
    proxy.wait_generation(2)
    eventually(lambda: calls, 5, what="the timer calls the new upstream")
    assert int(result(client)) >= before


def test_hooks_set_timers_and_cancel_them(timed):
    _, client, _ = timed("""
        count = 0
        local number
        function on_request(handle)
          if not number then
            number = moon.timer.every(0.01, function()
              count = count + 1
              if count == 3 then moon.timer.cancel(number) end
            end)
          end
          handle:headers():add("x-result", count)
        end""")
    eventually(lambda: result(client) == "3", 5, what="three runs")
    time.sleep(0.05)                      # time for two more, which must not be
    assert result(client) == "3"


@pytest.mark.parametrize("call, text", [
    ("moon.timer.every(0, print)", "moon.timer.every: seconds must be between 0.01 and 31536000"),
    ("moon.timer.after(-1, print)", "moon.timer.after: seconds must be between 0"),
    ("moon.timer.after(0/0, print)", "moon.timer.after: seconds must be between 0"),
    ("moon.timer.every(1, 'print')", "bad argument #2 to 'every' (function expected, got string)"),
    ("moon.timer.every(1, print, {worker = 1})", 'worker must be 0 or "all"'),
    ("moon.timer.every(1, print, {wroker = 0})", "the only option is worker"),
    ("moon.timer.every(1, print, {worker = 'all'})", "worker is for timers that are set while a policy is loaded"),
    ("moon.sleep(61)", "moon.sleep: seconds must be between 0 and 60"),
    ("moon.sleep(-1)", "moon.sleep: seconds must be between 0 and 60"),
    ("(function() for i = 1, 2000 do moon.timer.after(60, print) end end)()", "more than 1024 timers on one worker"),
])
def test_wrong_values_raise_errors(timed, call, text):
    _, client, _ = timed(f"""
        function on_request(handle)
          local ok, problem = pcall(function() {call} end)
          handle:headers():add("x-result", tostring(problem))
        end""")
    assert text in result(client)


def test_a_hook_sleeps_while_others_go_on(timed, connect):
    proxy, client, _ = timed("""
        function on_request(handle)
          if handle:headers():get("x-sleep") then moon.sleep(60) end
          moon.sleep(0)
          moon.sleep(0.01)
          handle:headers():add("x-result", "awake")
        end""")
    stream = client.open(request(extra=[("x-sleep", "1")]), end_stream=True)
    assert result(connect(proxy.address)) == "awake"
    assert not client.of_stream(stream)


def test_a_timer_that_leaks_is_its_own_policys_fault(moongate, backend, client):
    guilty = """
        local moon = require "moon"
        kept = {}
        moon.timer.every(0.01, function() for i = 1, 20 do kept[#kept + 1] = ("x"):rep(10000) .. #kept end end)
        function on_request() end"""
    routes = [
        {"name": "guilty", "match": {"method": "Unary"}, "upstream": "main",
         "policies": [{"policy": "policies/guilty.lua", "memory_limit": "2MiB"}]},
        route(policies=[{"policy": "policies/innocent.lua"}]),
    ]
    proxy = moongate(configuration(backend.address, routes=routes), policies={
        "guilty.lua": guilty, "innocent.lua": "function on_request(h) h:headers():add('x-seen', ('y'):rep(5000)) end"})
    caller = client(proxy.address)
    proxy.wait_for_line("holds more memory than leaves room", 10)
    proxy.wait_for_line("a new script engine is in force", 20)
    for _ in range(50):
        assert caller.hello()
    assert proxy.metric("moongate_policy_memory_exceeded_total", policy="guilty") >= 1
    assert proxy.metric("moongate_policy_memory_exceeded_total", policy="innocent") == 0


def test_the_time_limit_of_a_policy_holds_for_its_timers(moongate, backend):
    text = """
        local moon = require "moon"
        moon.timer.every(0.05, function() local n = 0 while true do n = n + 1 end end)
        function on_request() end"""
    proxy = moongate(
        configuration(backend.address, routes=[route(policies=[{"policy": "policies/busy.lua", "time_limit": "20ms"}])]),
        policies={"busy.lua": text})
    proxy.wait_for_line("time limit of 20 ms exceeded", 10)


def test_timers_of_hooks_belong_to_the_policy_that_sets_them(moongate, backend, client):
    """The second policy of a chain sets a timer in a hook: its limits and counters are its own."""
    set_timer = """
        local moon = require "moon"
        function on_request() moon.timer.after(0.01, function() while true do end end) end"""
    proxy = moongate(
        configuration(backend.address, routes=[route(policies=[
            "policies/first.lua", {"policy": "policies/second.lua", "time_limit": "20ms"}])]),
        policies={"first.lua": "function on_request() end", "second.lua": set_timer})
    assert client(proxy.address).unary()
    assert "time limit of 20 ms exceeded" in proxy.wait_for_line("time limit", 5)
    eventually(
        lambda: proxy.metric("moongate_policy_errors_total", policy="second", hook="timer") == 1, 5, what="it is counted")
    assert proxy.metric("moongate_policy_runs_total", policy="first", hook="timer") == 0
