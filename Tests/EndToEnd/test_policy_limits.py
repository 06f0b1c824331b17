"""Limits of policies: who goes over one fails, and nobody else does."""
import dataclasses
import threading
import time

import grpc
import pytest

from harness.client import seen_metadata
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

LEAK = """
kept = {}
function on_request(handle)
  local mode = handle:headers():get("x-mode")
  if mode == "grow" then while true do kept[#kept + 1] = ("x"):rep(1000) .. #kept end end
  if mode == "pcall" then pcall(function() while true do kept[#kept + 1] = {#kept} end end) end
  kept[#kept + 1] = 1
  handle:headers():add("x-count", tostring(#kept))
end"""


@pytest.fixture
def edge(moongate, backend, client):
    """A policy of this text on `Unary`, another on the greeter; gives the proxy and a client."""
    def start(text, reference=None, policies=None, **more):
        guilty = {"policy": "policies/guilty.lua", **(reference or {})}
        innocent = {"policy": "policies/innocent.lua"}
        routes = [
            {"name": "guilty", "match": {"method": "Unary"}, "upstream": "main", "policies": [guilty]},
            route(policies=[innocent]),
        ]
        innocents = "local seen = 0 function on_request(handle) seen = seen + 1 handle:headers():add('x-seen', seen) end"
        proxy = moongate(
            configuration(backend.address, routes=routes, policies=policies or {}, **more),
            policies={"guilty.lua": text, "innocent.lua": innocents})
        return proxy, client(proxy.address)

    return start


def mode(name):
    return {"metadata": [("x-mode", name)]}


@pytest.mark.parametrize("attack", ["grow", "pcall"])
def test_policy_over_its_memory_limit_is_out_until_it_has_a_new_engine(edge, attack):
    proxy, caller = edge(LEAK, reference={"memory_limit": "1MiB"})
    assert seen_metadata(caller.unary())["x-count"] == [b"1"]
    assert seen_metadata(caller.unary())["x-count"] == [b"2"]
    assert caller.refused(**mode(attack)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    proxy.wait_for_line("holds more memory than leaves room", 5)
    assert caller.hello(), "another policy goes on"
    proxy.wait_for_line("a new script engine is in force", 20)
    # What the script had filled is gone.
    assert seen_metadata(eventually(lambda: caller.unary(), 5))["x-count"] == [b"1"]
    assert proxy.metric("moongate_policy_memory_exceeded_total", policy="guilty") == 1
    assert proxy.metric("moongate_policy_engine_replacements_total") == 1
    assert proxy.metric("moongate_policy_errors_total", policy="guilty", reason="memory_limit") >= 1
    assert proxy.metric("moongate_policy_errors_total", policy="innocent") == 0


def test_repeated_offenders_wait_longer_and_others_never_notice(edge):
    proxy, caller = edge(LEAK, policies={"memory_limit": "16MiB", "policy_memory_limit": "1MiB"})
    before = time.monotonic()
    replaced = 0
    while time.monotonic() - before < 3.5:
        caller.probe.Unary.future(Order(), timeout=5, **mode("grow")).exception(5)
        assert caller.hello()
        replaced = proxy.metric("moongate_policy_engine_replacements_total")
    assert 1 <= replaced <= 3, "at once, after 1 s, after 2 s more"
    assert proxy.metric("moongate_policy_errors_total", policy="innocent") == 0
    assert proxy.metric("moongate_policy_errors_total", policy="guilty", reason="memory_limit") >= 4


@pytest.mark.plain
def test_time_limit_of_one_use_leaves_the_other_alone(moongate, backend, client):
    spin = "function on_request(handle) local t = os.clock() while os.clock() - t < 0.2 do end end"
    short = {"policy": "policies/spin.lua", "time_limit": "20ms"}
    long = {"policy": "policies/spin.lua", "time_limit": "5s"}
    routes = [
        {"name": "short", "match": {"method": "Unary"}, "upstream": "main", "policies": [short]}, route(policies=[long]),
    ]
    proxy = moongate(configuration(backend.address, routes=routes), policies={"spin.lua": spin})
    caller = client(proxy.address)
    assert caller.hello()
    assert caller.refused().code() is grpc.StatusCode.INTERNAL
    assert "time limit of 20 ms exceeded" in proxy.wait_for_line("time limit", 5)


def test_limits_that_leave_nothing_for_others_are_refused(moongate, backend):
    settings = configuration(
        backend.address, routes=[route(policies=[{"policy": "policies/p.lua", "memory_limit": "60MiB"}])])
    proxy = moongate(settings, policies={"p.lua": ""}, wait=False)
    assert proxy.wait(10) == 2
    assert "more than half of policies.memory_limit" in proxy.output()


def test_only_listed_variables_are_shown(edge, monkeypatch):
    monkeypatch.setenv("REGION", "eu-1")
    monkeypatch.setenv("TOKEN", "secret")
    _, caller = edge("""
        function on_request(handle)
          handle:headers():add("x-region", os.getenv("REGION"))
          handle:headers():add("x-token", tostring(os.getenv("TOKEN")))
        end""", policies={"env": ["REGION", "NOWHERE"]})
    metadata = seen_metadata(caller.unary())
    assert metadata["x-region"] == [b"eu-1"]
    assert metadata["x-token"] == [b"nil"]


class _Stream:
    """An endless call that has had its first answer."""

    def __init__(self, caller):
        self._wanted = threading.Event()
        self.call = caller.probe.Bidi(self._orders(), timeout=60)
        next(self.call)

    def _orders(self):
        yield Order(answer_bytes=3)
        self._wanted.wait(60)

    def finish(self):
        self._wanted.set()
        return list(self.call)


@pytest.mark.parametrize("when_exceeded", ["reset", "finish"])
def test_endless_streams_keep_only_so_many_old_generations(moongate, backend, client, when_exceeded):
    def text(number):
        return f"function on_response(handle) handle:headers():add('x-generation', '{number}') end"

    proxy = moongate(
        configuration(
            backend.address, routes=[route(policies=[{"policy": "policies/p.lua"}])],
            reload={"max_generations": 2, "when_exceeded": when_exceeded}),
        policies={"p.lua": text(1)})
    caller = client(proxy.address)
    streams = []
    for number in range(1, 5):
        streams.append(_Stream(caller))
        proxy.overwrite("policies/p.lua", text(number + 1))
        proxy.wait_generation(number + 1)
    line = proxy.wait_for_line("old script engine alive", 5)
    assert '"generation":"1"' in line
    proxy.wait_for_line(lambda line: "old script engine alive" in line and '"generation":"2"' in line, 5)
    if when_exceeded == "reset":
        for stream in streams[:2]:
            assert stream.call.code() is grpc.StatusCode.UNAVAILABLE
        assert proxy.metric("moongate_policy_retired_streams_total") == 2
        streams = streams[2:]
    for stream in streams:
        stream.finish()
        assert stream.call.code() is grpc.StatusCode.OK
    assert len(proxy.wait_entries(lambda entry: "old script engine alive" in entry["message"], 2)) == 2


def test_a_reload_ends_streams_that_an_earlier_one_only_told_of(moongate, backend, client):
    def config(when_exceeded):
        return configuration(
            backend.address, routes=[route(policies=[{"policy": "policies/p.lua"}])],
            reload={"max_generations": 1, "when_exceeded": when_exceeded})

    proxy = moongate(config("finish"), policies={"p.lua": "function on_request() end -- 0"})
    caller = client(proxy.address)
    streams = []
    for number in range(1, 3):
        streams.append(_Stream(caller))
        proxy.overwrite("policies/p.lua", f"function on_request() end -- {number}")
        proxy.wait_generation(number + 1)
    proxy.wait_for_line("streams keep an old script engine alive", 5)
    proxy.configure(config("reset"))
    proxy.reload()
    proxy.wait_for_line("ended the streams that kept an old script engine alive", 20)
    assert streams[0].call.code() is grpc.StatusCode.UNAVAILABLE
    streams[1].finish()
    assert streams[1].call.code() is grpc.StatusCode.OK


def test_old_generations_end_with_their_age(moongate, backend, client):
    proxy = moongate(
        configuration(
            backend.address, routes=[route(policies=[{"policy": "policies/p.lua"}])],
            reload={"max_age": "1s", "when_exceeded": "reset"}),
        policies={"p.lua": "function on_request(handle) end"})
    stream = _Stream(client(proxy.address))
    proxy.overwrite("policies/p.lua", "function on_request(handle) handle:headers():add('x', 'y') end")
    proxy.wait_for_line("ended the streams", 10)
    assert stream.call.code() is grpc.StatusCode.UNAVAILABLE
    assert client(proxy.address).unary()


@dataclasses.dataclass
class Fault:
    """What a policy does on each request to go over a limit."""
    body: str
    # The reason under which it is counted as an error; None: it is none of the script's.
    reason: str | None = None
    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    policies: dict = dataclasses.field(default_factory=dict)


TOO_LARGE = grpc.StatusCode.RESOURCE_EXHAUSTED
# An order for an answer of 4,000 bytes.
CALL = r"moon.grpc.call('main', '/moongate.test.Probe/Unary', '\x10\xa0\x1f')"

FAULTS = {
    "time": Fault("while true do end", "time_limit"),
    "memory": Fault(
        "while true do kept[#kept + 1] = ('x'):rep(1000) .. #kept end", "memory_limit", grpc.StatusCode.RESOURCE_EXHAUSTED),
    "recursion": Fault(
        "local function f() return 1 + f() end f()", "memory_limit", grpc.StatusCode.RESOURCE_EXHAUSTED),
    "error": Fault("error('no')", "script"),
    "pattern": Fault("('a'):rep(30000):find('.-.-.-b')", "time_limit"),
    "body": Fault("handle:body()", code=TOO_LARGE, policies={"body_limit": "1KiB"}),
    "message": Fault(
        "for _ in handle:grpcMessages() do end", code=TOO_LARGE, policies={"message_limit": "1KiB"}),
    "calls_per_request": Fault(
        """local calls = {}
           for index = 1, 3 do calls[index] = { upstream = "main", path = "/none" } end
           moon.parallel(calls)""", "script", policies={"calls_per_request": 2}),
    "call_limit": Fault(f"assert({CALL})", "script", policies={"call_limit": "1KiB"}),
}


def _percentile(times, share):
    return sorted(times)[int(len(times) * share)]


class _Load:
    """Calls the greeter as fast as one thread can, and notes how long each call took."""

    def __init__(self, caller):
        self.times, self.failures = [], []
        self._caller, self._stop = caller, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._caller.hello()
            except grpc.RpcError as error:
                self.failures.append(error)
            self.times.append(time.monotonic() - began)

    def run_for(self, seconds, meanwhile=None):
        self._thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if meanwhile:
                meanwhile()
            else:
                time.sleep(0.05)
        self._stop.set()
        self._thread.join()
        return self


@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.plain
@pytest.mark.parametrize("fault", FAULTS)
def test_S4_a_limit_hit_under_load_harms_no_other_route(edge, client, fault):
    fault = FAULTS[fault]
    proxy, caller = edge(
        f"local moon = require 'moon' kept = {{}} function on_request(handle) {fault.body} end",
        reference={"memory_limit": "2MiB", "time_limit": "10ms"}, policies=fault.policies)
    bystander = client(proxy.address)
    quiet = _Load(bystander).run_for(4)
    refused = []

    def attack():
        refused.append(caller.refused(Order(payload=bytes(4000))).code())
        time.sleep(0.05)

    loud = _Load(bystander).run_for(8, attack)
    # Who has a policy exceed its time limit again and again is refused by it.
    barred = {grpc.StatusCode.RESOURCE_EXHAUSTED} if fault.reason == "time_limit" else set()
    assert refused and set(refused) == {fault.code} | barred
    assert not quiet.failures and not loud.failures
    assert proxy.metric("moongate_policy_errors_total", policy="innocent") == 0
    if fault.reason:
        assert proxy.metric("moongate_policy_errors_total", policy="guilty", reason=fault.reason) > 0
    else:
        assert fault.code is grpc.StatusCode.INTERNAL or not proxy.metric("moongate_policy_errors_total", policy="guilty")
    # A worker has one thread: who comes behind a runaway hook waits for its limit, kept to some 10 ms.
    floor = 0.040
    assert _percentile(loud.times, 0.99) <= 2 * max(_percentile(quiet.times, 0.99), floor)
