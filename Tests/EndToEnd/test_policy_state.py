"""State that workers share and that reloads keep, and the limits made of it."""
import collections
import concurrent.futures

import grpc

from harness.client import Client, OpenMessages, seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

COUNTING = """
local moon = require "moon"
local dict = moon.dict("calls", { max = 1000 })
local calls = moon.metrics.counter("test_calls_total", "Calls.", { "who" })
globals = 0
function on_request(handle)
  globals = globals + 1
  handle:headers():add("x-count", dict:incr("all"))
  handle:headers():add("x-global", globals)
  calls:inc(1, { who = handle:headers():get("x-who") or "nobody" })
end
"""


def start(moongate, address, text, workers=2):
    settings = configuration(address, workers=workers, routes=[route(policies=[{"policy": "policies/test.lua"}])])
    return moongate(settings, policies={"test.lua": text})


def test_workers_count_together_and_a_reload_keeps_the_sum(moongate, backend):
    proxy = start(moongate, backend.address, COUNTING)
    rounds, clients = 25, 8

    def calls(number):
        with Client(proxy.address) as caller:        # a connection of its own: both workers get some
            seen = [seen_metadata(caller.unary(metadata=[("x-who", f"w{number % 2}")])) for _ in range(rounds)]
        return [(int(one["x-count"][0]), int(one["x-global"][0])) for one in seen]

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        pairs = [pair for part in pool.map(calls, range(clients)) for pair in part]
    total = rounds * clients
    assert sorted(count for count, _ in pairs) == list(range(1, total + 1))
    assert max(own for _, own in pairs) < total      # it were two workers, indeed
    assert proxy.metric("test_calls_total", who="w0") == proxy.metric("test_calls_total", who="w1") == total / 2
    assert proxy.metric("moongate_dict_entries", dict="calls") == 1

    proxy.write("policies/test.lua", COUNTING.replace("globals = 0", "globals = 1000").replace("1000 }", "2000 }"))
    proxy.wait_generation(2)
    with Client(proxy.address) as caller:
        seen = seen_metadata(caller.unary(metadata=[("x-who", "w0")]))
    assert int(seen["x-count"][0]) == total + 1 and int(seen["x-global"][0]) == 1001
    assert proxy.metric("test_calls_total", who="w0") == total / 2 + 1


def test_a_dict_ends_with_the_last_generation_that_names_it(moongate, backend):
    proxy = start(moongate, backend.address, COUNTING)
    with Client(proxy.address) as caller:
        caller.unary()
        proxy.write("policies/test.lua", "function on_request(handle) end")
        proxy.wait_generation(2)
        eventually(lambda: not [s for s in proxy.samples() if s.labels.get("dict") == "calls"],
                   what="the dict ends")
        assert "test_calls_total" not in {sample.name for sample in proxy.samples()}
        proxy.write("policies/test.lua", COUNTING)
        proxy.wait_generation(3)
        assert seen_metadata(caller.unary())["x-count"] == [b"1"]


def test_a_refused_reload_leaves_dicts_and_their_limits_alone(moongate, backend):
    proxy = start(moongate, backend.address, COUNTING)
    with Client(proxy.address) as caller:
        caller.unary()
        proxy.write("policies/test.lua", COUNTING.replace("1000", "1") + "\nmoon.dict('calls', { max = 7 })")
        assert "the dict 'calls' has other limits" in proxy.refused_reload()
        assert seen_metadata(caller.unary())["x-count"] == [b"2"]


def test_a_concurrency_limit_is_given_back_when_a_call_ends(moongate, backend):
    proxy = start(moongate, backend.address, """
        local moon = require "moon"
        local limit = moon.concurrency { max = 1 }
        function on_request(handle)
          if not limit:take("all") then
            handle:respond({ [":status"] = 429, ["grpc-status"] = 8 }, "one at a time")
          end
        end""")
    with Client(proxy.address) as first, Client(proxy.address) as second:
        orders = OpenMessages(Order())
        held = first.probe.Bidi(iter(orders), timeout=20)
        next(held)
        assert _unary(second) is grpc.StatusCode.RESOURCE_EXHAUSTED
        held.cancel()
        orders.close()
        eventually(lambda: _unary(second) is grpc.StatusCode.OK, what="the slot is free")


def test_keys_of_one_policy_make_no_limit_of_another_begin_anew(moongate, backend):
    flood = """
        local moon = require "moon"
        local limit = moon.limit { rate = 0.0001, burst = 1, name = "login" }
        local last = 0
        function on_request(handle)
          if not handle:headers():get("x-flood") then return end
          for key = last + 1, last + 2000 do limit:take("key-" .. key) end
          last = last + 2000
        end"""
    login = """
        local moon = require "moon"
        local logins = moon.limit { rate = 0.0001, burst = 3, name = "login" }
        function on_request(handle)
          local allowed = logins:take(handle:headers():get("x-user") or "nobody")
          handle:headers():add("x-login", tostring(allowed))
        end"""
    proxy = moongate(
        configuration(backend.address, policies={"time_limit": "1s"}, workers=1, routes=[
            route(policies=[{"policy": "policies/flood.lua"}, {"policy": "policies/login.lua"}])]),
        policies={"flood.lua": flood, "login.lua": login})
    with Client(proxy.address) as caller:
        def login_of(user):
            return seen_metadata(caller.unary(metadata=[("x-user", user)]))["x-login"] == [b"true"]

        assert [login_of("ada") for _ in range(4)] == [True, True, True, False]
        for _ in range(100):
            caller.unary(metadata=[("x-flood", "1")])
        assert not login_of("ada")
        assert login_of("bob")
        # The policy that meets so many keys counts no more of them apart than it may.
        [name] = [sample.labels["table"] for sample in proxy.samples()
                  if sample.name == "moongate_limit_keys" and "flood" in sample.labels["table"]]
        assert proxy.metric("moongate_limit_keys", table=name) == 100_000
        assert proxy.metric("moongate_limit_shared_total", table=name) == 100_000
        # A reload keeps what was counted.
        proxy.write("policies/login.lua", login + "\n-- changed")
        proxy.wait_generation(2)
        assert not login_of("ada")


# rate-limit

def test_long_keys_of_one_rule_take_no_room_from_another(moongate, backend, connect):
    rules = [{"by": "header:x-tenant", "rate": 1, "per": "hour", "name": "tenants"},
             {"by": "address", "rate": 1, "per": "hour", "name": "addresses"}]
    proxy = moongate(configuration(
        backend.address,
        listeners=[{"name": "main", "address": "127.0.0.1:0", "forwarded": {"trusted": ["127.0.0.0/8"]}}],
        routes=[route(policies=[{"rate-limit": {"rules": rules, "keys": 1000}}])]))
    caller = connect(proxy.address)

    def status(address, tenant):
        head = request(extra=[("x-forwarded-for", address), ("x-tenant", tenant)])
        return caller.call(head, body=b"\0\0\0\0\0")[0].get("grpc-status")

    assert [status("192.0.2.1", "first") for _ in range(2)] == [None, "8"]
    for number in range(1600):
        status("192.0.2.2", f"{number}-" + "x" * 6000)
    assert status("192.0.2.1", "another") == "8"        # the address is known yet
    assert status("192.0.2.3", "1599-" + "x" * 6000) == "8"
    assert proxy.metric("moongate_limit_keys", table="rate-limit") <= 2000


def limited(moongate, address, settings, workers=2, before=()):
    policies = [*before, {"rate-limit": settings}]
    return moongate(configuration(address, workers=workers, routes=[route(policies=policies)]))


def test_rate_limit_lets_the_burst_through_over_all_workers(moongate, backend):
    proxy = limited(moongate, backend.address, {"rules": [{"by": "address", "rate": 10, "per": "hour", "burst": 20}]})

    def calls(_):
        with Client(proxy.address) as caller:
            return [_unary(caller) for _ in range(8)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        codes = collections.Counter(code for part in pool.map(calls, range(8)) for code in part)
    assert codes == {grpc.StatusCode.OK: 20, grpc.StatusCode.RESOURCE_EXHAUSTED: 44}
    assert proxy.metric("rate_limit_refused_total", rule="rule-1", dry_run="false") == 44

    # A reload keeps the buckets.
    proxy.configure(dict(proxy.configuration, routes=[route(name="again", policies=[
        {"rate-limit": {"rules": [{"by": "address", "rate": 10, "per": "hour", "burst": 20}], "message": "later"}}])]))
    proxy.wait_generation(2)
    with Client(proxy.address) as caller:
        error = caller.refused()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and error.details() == "later"
    pushback = dict(error.trailing_metadata())["grpc-retry-pushback-ms"]
    assert 0 < int(pushback) <= 360_000


def _unary(caller, **options):
    try:
        caller.unary(**options)
        return grpc.StatusCode.OK
    except grpc.RpcError as error:
        return error.code()


def test_rate_limit_counts_headers_and_methods_apart(moongate, backend):
    proxy = limited(moongate, backend.address, {
        "rules": [{"by": ["header:x-tenant", "method"], "rate": 1, "per": "hour", "name": "tenants"}]})
    with Client(proxy.address) as caller:
        for tenant in ("a", "b"):
            metadata = [("x-tenant", tenant)]
            assert _unary(caller, metadata=metadata) is grpc.StatusCode.OK
            assert _unary(caller, metadata=metadata) is grpc.StatusCode.RESOURCE_EXHAUSTED
            caller.probe.UnaryTwo(Order(), metadata=metadata, timeout=10)
    assert proxy.metric("rate_limit_refused_total", rule="tenants") == 2


def test_rate_limit_counts_users_that_a_policy_has_let_in(moongate, backend, tmp_path):
    who = 'function on_request(handle) handle:ctx().user = handle:headers():get("x-name") end'
    settings = {"rules": [{"by": "user", "rate": 1, "per": "hour"}]}
    proxy = moongate(
        configuration(backend.address, routes=[route(
            policies=[{"policy": "policies/who.lua"}, {"rate-limit": settings}])]), policies={"who.lua": who})
    with Client(proxy.address) as caller:
        for name in ("ada", "bob"):
            assert _unary(caller, metadata=[("x-name", name)]) is grpc.StatusCode.OK
            assert _unary(caller, metadata=[("x-name", name)]) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_rate_limit_in_a_dry_run_only_counts(moongate, backend):
    proxy = limited(moongate, backend.address, {"rules": [{"rate": 1, "per": "hour"}], "dry_run": True})
    with Client(proxy.address) as caller:
        assert [_unary(caller) for _ in range(5)] == [grpc.StatusCode.OK] * 5
    assert proxy.metric("rate_limit_refused_total", rule="rule-1", dry_run="true") == 4


def test_rate_limit_without_grpc_answers_429_and_tells_the_limit(moongate, upstream, connect):
    proxy = limited(moongate, upstream(answer_ok).address,
                    {"rules": [{"rate": 60, "per": "minute", "burst": 2}], "headers": True}, workers=1)
    client = connect(proxy.address)
    heads = [client.call(request(content_type="text/plain"))[0] for _ in range(3)]
    assert [head.get(":status") for head in heads] == ["200", "200", "429"]
    assert [head.get("ratelimit-limit") for head in heads] == ["2", "2", "2"]
    assert [head.get("ratelimit-remaining") for head in heads] == ["1", "0", "0"]
    assert heads[2].get("retry-after") == "1" and heads[2].get("grpc-status") is None
