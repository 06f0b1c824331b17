"""A turn of a worker has a time for scripts, and who has a policy exceed its time limit pays for it."""
import itertools
import signal
import threading
import time

import grpc
import pytest

from harness.client import OpenMessages
from harness.frame_client import FrameClient, request
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import background, eventually

pytestmark = [pytest.mark.plain, pytest.mark.figures]

# `x-spin`: milliseconds of CPU time.
SPIN = """
local function spin(milliseconds)
  local t = os.clock()
  while os.clock() - t < milliseconds / 1000 do end
end
function on_request(handle)
  spin(tonumber(handle:headers():get("x-spin") or 0))
end"""
ENDLESS = "function on_request(handle) if handle:headers():get('x-slow') then while true do end end end"
AGAIN = "a client has a policy exceed its time limit again and again: it is refused for a while"
MANY = "a policy exceeds its time limit for many clients: it is too slow, or its limit too short"
# Requests count for the address that they name.
LISTENERS = [{"name": "main", "address": "127.0.0.1:0", "forwarded": {"trusted": ["127.0.0.0/8"], "trusted_hops": 1}}]


@pytest.fixture
def edge(moongate, backend):
    """A policy of this text on `Unary`, none on the greeter."""
    def start(text, workers=1, reference=None, **more):
        guilty = {"policy": "policies/guilty.lua", "time_limit": "500ms", **(reference or {})}
        routes = [
            {"name": "guilty", "match": {"method": "Unary"}, "upstream": "main", "policies": [guilty]},
            {"name": "bidi", "match": {"method": "Bidi"}, "upstream": "main", "policies": [guilty]},
            route(),
        ]
        settings = configuration(backend.address, routes=routes, workers=workers, listeners=LISTENERS, **more)
        return moongate(settings, policies={"guilty.lua": text})

    return start


def spin(milliseconds):
    return {"metadata": [("x-spin", str(milliseconds))]}


def slow(client):
    """A call for this address on which the policy never ends."""
    return {"metadata": [("x-slow", "1"), ("x-forwarded-for", client)]}


def quick(client):
    return {"metadata": [("x-forwarded-for", client)]}


def keep_busy(caller, count, options):
    """Keeps `count` calls under way until it is stopped."""
    def run(stop):
        room = threading.Semaphore(count)
        while not stop.is_set():
            if room.acquire(timeout=0.1):
                caller.probe.Unary.future(Order(), timeout=60, **options()).add_done_callback(lambda _: room.release())
    return run


def times(caller, seconds):
    """How long calls on a route without policies took, in milliseconds, sorted."""
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        caller.hello()
        taken.append((time.monotonic() - began) * 1000)
    return sorted(taken)


def p99(taken):
    return taken[min(len(taken) - 1, len(taken) * 99 // 100)]


def report(name, taken):
    print(f"{name}: {len(taken)} calls, p50 {taken[len(taken) // 2]:.1f} ms, p99 {p99(taken):.1f} ms, most {taken[-1]:.1f} ms")


# MARK: Turns


@pytest.mark.parametrize("workers", [1, 2])
def test_one_client_with_many_slow_requests_holds_up_nobody(edge, client, workers):
    proxy = edge(SPIN, workers)
    others = [client(proxy.address).ready() for _ in range(workers)]
    guilty = client(proxy.address).ready()
    with background(keep_busy(guilty, 100, lambda: spin(40))):
        time.sleep(1)
        taken = sorted(sum((times(other, 6 / workers) for other in others), []))
    report(f"100 requests of 40 ms, {workers} workers", taken)
    assert p99(taken) <= 180


@pytest.mark.parametrize("workers", [1, 2])
def test_endless_policies_hold_up_nobody(edge, client, workers):
    proxy = edge(ENDLESS, workers, {"time_limit": "50ms"})
    others = [client(proxy.address).ready() for _ in range(workers)]
    callers = [client(proxy.address).ready() for _ in range(4)]
    # A new address each time: none of them pays.
    addresses = (f"10.1.{number // 250}.{number % 250}" for number in itertools.count())
    busy = [keep_busy(caller, 1, lambda: slow(next(addresses))) for caller in callers]
    with background(*busy):
        time.sleep(1)
        taken = sorted(sum((times(other, 6 / workers) for other in others), []))
    report(f"four callers of an endless policy, {workers} workers", taken)
    assert proxy.metric("moongate_policy_errors_total", reason="time_limit") > 20
    # Two busy workers may leave no core for the client and the server.
    assert p99(taken) <= (225 if workers == 1 else 600)


def test_connections_share_the_time_alike(edge, client):
    proxy = edge(SPIN)
    greedy, modest = client(proxy.address).ready(), client(proxy.address).ready()
    with background(keep_busy(greedy, 100, lambda: spin(20))):
        time.sleep(1)
        taken = []
        for _ in range(10):
            began = time.monotonic()
            modest.unary(**spin(20))
            taken.append(time.monotonic() - began)
    print(f"a call of 20 ms beside 100 such calls of another connection: {sorted(taken)[5] * 1000:.0f} ms")
    # Behind all 100 it would take 2 s.
    assert sorted(taken)[5] < 0.5


def test_call_that_waits_for_its_turn_can_be_cancelled(edge, client):
    proxy = edge(SPIN)
    caller = client(proxy.address).ready()
    calls = [caller.probe.Unary.future(Order(), timeout=30, **spin(100)) for _ in range(20)]
    eventually(lambda: proxy.metric("moongate_policy_runs_total") >= 1)
    for call in calls[10:]:
        call.cancel()
    assert all(call.result(20) for call in calls[:10])
    assert client(proxy.address).unary(**spin(1))
    # Those that were cancelled never ran.
    assert proxy.metric("moongate_policy_runs_total") < 20


def test_deadline_holds_while_a_call_waits_for_its_turn(edge, client):
    proxy = edge(SPIN)
    caller, other = client(proxy.address).ready(), client(proxy.address).ready()
    with background(keep_busy(caller, 50, lambda: spin(100))):
        time.sleep(0.5)
        began = time.monotonic()
        calls = [other.probe.Unary.future(Order(), timeout=0.8, **spin(100)) for _ in range(20)]
        codes = {call.code() for call in calls}
        assert time.monotonic() - began < 5
    assert grpc.StatusCode.DEADLINE_EXCEEDED in codes
    assert codes <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.OK}


def test_reload_while_calls_wait_for_their_turn_loses_none(edge, client):
    proxy = edge(SPIN)
    caller = client(proxy.address).ready()
    calls = [caller.probe.Unary.future(Order(), timeout=60, **spin(50)) for _ in range(40)]
    eventually(lambda: proxy.metric("moongate_policy_runs_total") >= 1)
    proxy.overwrite("policies/guilty.lua", SPIN + "\n-- another one")
    proxy.reload()
    assert all(call.result(30) for call in calls)


def test_messages_take_turns_too(edge, client):
    proxy = edge("""
        function on_grpc_message(handle)
          local t = os.clock()
          while os.clock() - t < 0.04 do end
        end""")
    other = client(proxy.address).ready()

    def stream(stop):
        caller = client(proxy.address)
        orders = iter(OpenMessages(*[Order() for _ in range(100)]))
        calls = caller.probe.Bidi(orders, timeout=60)
        while not stop.is_set():
            try:
                next(calls)
            except (grpc.RpcError, StopIteration):
                return
        calls.cancel()

    with background(*[stream] * 3):
        time.sleep(1)
        taken = times(other, 4)
    report("three streams with 40 ms for each message", taken)
    assert p99(taken) <= 180


def test_log_hooks_take_turns_and_none_is_lost(edge, client):
    proxy = edge("""
        function on_request(handle) end
        function on_log(handle)
          local t = os.clock()
          while os.clock() - t < 0.04 do end
        end""")
    caller, other = client(proxy.address).ready(), client(proxy.address).ready()
    calls = [caller.probe.Unary.future(Order(), timeout=60) for _ in range(50)]
    taken = times(other, 1.5)
    report("50 log hooks of 40 ms", taken)
    assert all(call.result(30) for call in calls)
    eventually(lambda: proxy.metric("moongate_policy_runs_total", hook="on_log") == 50, 10)
    assert p99(taken) <= 180


def test_on_close_hooks_take_turns_and_none_is_lost(moongate, backend, client):
    """Twenty uses of a policy close at a reload, each for 50 ms of CPU: a second for those who would wait for all of them."""
    text = """
        function on_request() end
        function on_close(config)
          local t = os.clock()
          while os.clock() - t < 0.05 do end
          print("closed " .. config.number)
        end"""
    uses = [{"policies/guilty.lua": {"number": number}} for number in range(20)]

    def settings(policies):
        routes = [{"name": "guilty", "match": {"method": "Unary"}, "upstream": "main", "policies": policies}, route()]
        return configuration(backend.address, routes=routes, workers=1, policies={"time_limit": "500ms"})

    proxy = moongate(settings(uses), policies={"guilty.lua": text})
    other = client(proxy.address).ready()
    proxy.configure(settings([]))
    proxy.signal(signal.SIGHUP)
    taken = times(other, 2.5)
    report("20 on_close hooks of 50 ms", taken)
    eventually(lambda: sum("closed " in line for line in proxy.lines) == 20, 5)
    assert taken[-1] <= 400


def test_log_hooks_that_wait_for_their_turn_run_before_the_process_ends(moongate, backend, client):
    settings = configuration(backend.address, routes=[route(policies=[{"policy": "policies/p.lua"}])])
    proxy = moongate(settings, policies={"p.lua": """
        function on_log(handle)
          local t = os.clock()
          while os.clock() - t < 0.02 do end
          moon.log.info("logged one")
        end"""})
    caller = client(proxy.address).ready()
    calls = [caller.probe.Unary.future(Order(), timeout=60) for _ in range(30)]
    assert all(call.result(30) for call in calls)
    caller.close()
    proxy.stop(10)
    assert proxy.output().count("logged one") == 30


# MARK: Who overruns, pays


@pytest.mark.parametrize("on_error", ["deny", "continue"])
@pytest.mark.parametrize("workers", [1, 2])
def test_third_overrun_is_refused_and_others_go_on(edge, client, on_error, workers):
    proxy = edge(ENDLESS, workers, {"time_limit": "20ms", "on_error": on_error})
    callers = [client(proxy.address).ready() for _ in range(2)]

    def code(number, options):
        try:
            callers[number % 2].unary(**options)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    once = grpc.StatusCode.OK if on_error == "continue" else grpc.StatusCode.INTERNAL
    codes = [code(number, slow("192.0.2.1")) for number in range(3)]
    assert codes == [once, once, grpc.StatusCode.RESOURCE_EXHAUSTED]
    barred = time.monotonic()
    # Whatever it asks for, on any worker.
    assert {code(number, quick("192.0.2.1")) for number in range(4)} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert {code(number, quick("192.0.2.2")) for number in range(4)} == {grpc.StatusCode.OK}
    assert callers[0].hello(metadata=quick("192.0.2.1")["metadata"]), "a route without the policy"
    assert proxy.metric("moongate_policy_overrun_refusals_total", policy="guilty") == 4
    entry, = proxy.wait_entries(AGAIN)
    assert entry["client"] == "192.0.2.1" and entry["policy"] == "guilty" and entry["seconds"] == "1"
    eventually(lambda: code(0, quick("192.0.2.1")) is grpc.StatusCode.OK, 5)
    assert time.monotonic() - barred > 0.8
    # The next one comes too soon.
    assert code(1, slow("192.0.2.1")) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert proxy.wait_entries(AGAIN, 2)[1]["seconds"] == "2"


def test_refusal_is_503_for_others_than_grpc(edge, client):
    proxy = edge(ENDLESS, 1, {"time_limit": "20ms"})
    caller = client(proxy.address)
    for _ in range(3):
        caller.refused(**slow("192.0.2.1"))
    browser = FrameClient(proxy.address)
    answer = browser.call(request(content_type="text/plain", extra=[("x-forwarded-for", "192.0.2.1")]))
    browser.close()
    assert dict(answer[0].headers)[":status"] == "503"


def test_policy_that_overruns_for_everybody_is_told_and_goes_on(edge, client):
    proxy = edge(ENDLESS, 1, {"time_limit": "10ms"})
    caller = client(proxy.address)
    for number in range(12):
        assert caller.refused(**slow(f"198.51.100.{number}")).code() is grpc.StatusCode.INTERNAL
    entry, = proxy.wait_entries(MANY)
    assert entry["policy"] == "guilty"
    assert proxy.metric("moongate_policy_widespread_overruns_total", policy="guilty") == 1
    assert caller.unary(**quick("198.51.100.1"))


def test_timers_that_overrun_are_told(edge):
    proxy = edge("moon.timer.every(0.1, function() while true do end end)", 1, {"time_limit": "10ms"})
    proxy.wait_entries("a policy exceeds its time limit in a timer")
    time.sleep(0.5)
    assert proxy.metric("moongate_policy_widespread_overruns_total", policy="guilty") == 1


def test_stream_of_messages_that_overrun_is_ended(edge, client):
    proxy = edge("function on_grpc_message(handle) while true do end end", 1,
                 {"time_limit": "10ms", "on_error": "continue"})
    caller = client(proxy.address)
    orders = iter(OpenMessages(*[Order() for _ in range(10)]))
    call = caller.probe.Bidi(orders, timeout=20, metadata=quick("192.0.2.1")["metadata"])
    with pytest.raises(grpc.RpcError) as caught:
        for _ in call:
            pass
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert proxy.metric("moongate_policy_errors_total", reason="time_limit") == 3
