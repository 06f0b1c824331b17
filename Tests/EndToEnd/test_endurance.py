"""Long runs under load: reload storm, cancelled calls, h2load."""
import os
import re
import statistics
import time

import pytest

from harness.fast_backend import PATH, FastBackend
from harness.load import h2load, raw_load, storm_client
from harness.settings import configuration, route

MIB = 1 << 20
# Sanitizers make the program several times slower; the figures that depend on it are scaled.
SLOW = bool(os.environ.get("MOONGATE_SANITIZER"))
STORM_SECONDS = float(os.environ.get("MOONGATE_STORM_SECONDS", 15 if SLOW else 40))
# Ten minutes and more to see slow leaks; as long as the suite has time for otherwise.
SOAK_SECONDS = float(os.environ.get("MOONGATE_SOAK_SECONDS", 15 if SLOW else 30))
CANCEL_SECONDS = float(os.environ.get("MOONGATE_CANCEL_SECONDS", 10 if SLOW else 60))
CANCEL_RATE = float(os.environ.get("MOONGATE_CANCEL_RATE", 500 if SLOW else 5000))


@pytest.fixture
def fast(tmp_path):
    server = FastBackend(tmp_path)
    yield server
    server.stop()


def marking(number):
    return f"""
        function on_request(handle) handle:headers():add("x-mark", "{number}") end
        function on_response(handle) handle:headers():add("x-mark", "{number}") end"""


def resident(proxy):
    """Median of a second, so that one moment does not count."""
    samples = []
    for _ in range(10):
        samples.append(proxy.resident_bytes())
        time.sleep(0.1)
    return statistics.median(samples)


@pytest.mark.slow
@pytest.mark.timeout(STORM_SECONDS + 140)
def test_reload_storm_loses_no_call_and_no_stream(moongate, backends):
    [server] = backends("storm", threads=150)
    proxy = moongate(
        configuration(server.address, routes=[route(policies=[{"policy": "policies/mark.lua"}])]),
        policies={"mark.lua": marking(0)})
    first = proxy.generation()
    storm = storm_client(proxy.address, STORM_SECONDS + 2)
    began, number, warm = time.monotonic(), 0, None
    next_write = began
    while time.monotonic() - began < STORM_SECONDS:
        number += 1
        proxy.write("policies/mark.lua", marking(number))
        if number % 10 == 0:
            proxy.configure({**proxy.configuration, "drain": {"delay": "0s", "grace": f"{5 + number % 50}s"}})
        next_write += 0.15
        time.sleep(max(0, next_write - time.monotonic()))
        if warm is None and time.monotonic() - began > STORM_SECONDS / 4:
            warm = resident(proxy)
            next_write = time.monotonic()
    end = resident(proxy)
    applied = proxy.generation() - first
    said = storm.result()
    print(f"\nstorm: {applied} generations, {said}, RSS {warm / MIB:.1f} -> {end / MIB:.1f} MiB")
    assert said["failed"] == 0, said
    assert said["mixed"] == [], "both hooks of a stream must belong to the same generation"
    assert said["calls"] > 20 * STORM_SECONDS and said["streams"] > 5 * STORM_SECONDS
    assert applied >= 5 * STORM_SECONDS, f"{applied} generations in {STORM_SECONDS} s, {number} writes"
    assert said["marks"] >= 0.9 * applied, "streams must have begun in (nearly) every generation"
    assert proxy.failed_reloads() == 0
    if not SLOW:
        assert end <= warm + 2 * MIB, f"RSS grew from {warm / MIB:.1f} to {end / MIB:.1f} MiB"


def busy(number):
    """A policy that uses what policies have: shared state, calls, timers, bodies, messages, JSON, metrics."""
    return f"""
        local moon = require "moon"
        local seen = moon.dict("seen", {{ max = 1000, ttl = 5 }})
        local limit = moon.limit{{ rate = 1000000, burst = 1000000, name = "soak" }}
        local calls = moon.metrics.counter("soak_calls", "Calls of the soak.")
        local messages = moon.metrics.counter("soak_messages", "Messages of the soak.")
        moon.timer.every(0.05, function()
          moon.http.get("side", "{PATH}")
          seen:set("at", moon.time.now())
        end)

        function on_request(handle)
          local headers = handle:headers()
          local number = seen:incr("calls", 1, 0)
          local key = tostring(number % 2000)
          seen:set(key, {{ mark = {number}, path = headers:get(":path") }})
          assert(limit:take(key))
          if number % 10 == 0 then
            local answer, err = moon.http.get("side", "{PATH}", {{ timeout = 5 }})
            assert(answer and answer.status == 200, err)
          end
          headers:add("x-mark", "{number}")
          for chunk in handle:bodyChunks() do chunk:setBytes(chunk:getBytes(0, chunk:length())) end
        end

        function on_response(handle)
          calls:inc(1)
          handle:headers():add("x-mark", "{number}")
          handle:headers():add("x-json", #moon.json.encode(handle:ctx()))
          local trailers = handle:trailers()
          if trailers then trailers:add("x-end", "1") end
        end

        function on_grpc_message(handle, message)
          messages:inc(1)
          if handle:isResponse() then message:set(message:bytes()) else assert(message:length() < 1000000) end
        end"""


@pytest.mark.slow
@pytest.mark.timeout(SOAK_SECONDS + 120)
def test_soak_with_calls_timers_and_bodies_keeps_memory_flat(moongate, backends, fast):
    [server] = backends("soak", threads=150)
    proxy = moongate(
        configuration(
            server.address, upstreams={"side": [fast.address]},
            routes=[route(policies=[{"policy": "policies/busy.lua"}])]),
        policies={"busy.lua": busy(0)})
    storm = storm_client(proxy.address, SOAK_SECONDS + 2)
    first, number, samples = proxy.generation(), 0, []
    end = time.monotonic() + SOAK_SECONDS
    while time.monotonic() < end:
        number += 1
        proxy.write("policies/busy.lua", busy(number))
        time.sleep(0.5)
        samples.append(proxy.resident_bytes())
    said = storm.result()
    third = len(samples) // 3
    warm, late = statistics.median(samples[third:2 * third]), statistics.median(samples[-third:])
    print(f"\nsoak: {proxy.generation() - first} generations, {said}, RSS {warm / MIB:.1f} -> {late / MIB:.1f} MiB")
    assert said["failed"] == 0 and said["mixed"] == [], said
    assert proxy.failed_reloads() == 0 and proxy.generation() - first >= 0.8 * number
    assert proxy.metric("soak_calls_total") >= said["calls"]
    assert proxy.metric("soak_messages_total") >= 2 * said["calls"]
    if not SLOW:
        assert late <= warm + 4 * MIB, f"RSS grew from {warm / MIB:.1f} to {late / MIB:.1f} MiB"


@pytest.mark.slow
@pytest.mark.timeout(CANCEL_SECONDS + 90)
def test_X2_five_per_cent_cancelled_calls_lose_no_other_stream(moongate, fast):
    proxy = moongate(configuration(fast.address))
    said = raw_load(proxy.address, CANCEL_SECONDS, rate=CANCEL_RATE, cancel=0.05).result()
    print(f"\ncancels: {said}")
    asked = CANCEL_RATE * CANCEL_SECONDS
    assert said["sent"] > 0.95 * asked
    assert said["cancelled"] > 0.02 * asked
    assert set(said["outcomes"]) == {"0"}, said
    assert said["unanswered"] == 0 and said["lost"] == 0
    assert said["outcomes"]["0"] + said["cancelled"] == said["sent"]


@pytest.mark.slow
@pytest.mark.parametrize("connections, streams", [(8, 16), (1, 1), (100, 1), (1, 100)])
def test_h2load_sees_no_failed_call(moongate, fast, connections, streams):
    proxy = moongate(configuration(fast.address, workers=2))
    requests = 2000 if streams * connections == 1 or SLOW else 30_000
    said = h2load(proxy.address, PATH, requests, connections, streams)
    assert f"{requests} succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    assert re.search(rf"status codes: {requests} 2xx", said), said


@pytest.mark.slow
def test_h2load_through_policies_sees_no_failed_call(moongate, fast):
    policies = ["strip-port", {"headers": {"request": {"set": {"x-edge": "1"}}, "response": {"set": {"x-edge": "2"}}}}]
    proxy = moongate(configuration(fast.address, workers=2, routes=[route(policies=policies)]))
    requests = 2000 if SLOW else 30_000
    said = h2load(proxy.address, PATH, requests)
    assert f"{requests} succeeded, 0 failed, 0 errored, 0 timeout" in said, said


@pytest.mark.figures
def test_memory_does_not_grow_with_the_number_of_calls(moongate, fast):
    proxy = moongate(configuration(fast.address))
    h2load(proxy.address, PATH, 20_000)
    before = proxy.resident_bytes()
    for _ in range(4):
        h2load(proxy.address, PATH, 2000 if SLOW else 20_000)
    assert proxy.resident_bytes() - before < 2 * MIB
