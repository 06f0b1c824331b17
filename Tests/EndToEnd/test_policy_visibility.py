"""What a running edge tells about its policies: `/policies`, `/generations`, `moongate policies`, metrics."""
import hashlib
import json

from harness.client import Client, OpenMessages
from harness.proxy import run_command
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

GOOD = """
function on_request(handle)
  if handle:headers():get("x-fail") then error("asked to fail") end
  if handle:headers():get("x-no") then handle:respond({[":status"] = "403"}, "no") end
end
function on_response(handle) handle:headers():add("x-seen", "1") end
"""


def start(moongate, backend, text=GOOD, workers=2, **more):
    settings = configuration(
        backend.address, workers=workers,
        routes=[route(policies=[{"policy": "policies/test.lua", **more}])])
    return moongate(settings, policies={"test.lua": text})


def policies(proxy):
    status, text = proxy.get("/policies")
    assert status == 200
    return json.loads(text)


def test_policies_tell_what_they_are_and_what_they_did(moongate, backend):
    proxy = start(moongate, backend)
    for _ in range(6):          # a connection each, so that every worker has some
        with Client(proxy.address) as caller:
            caller.unary()
    with Client(proxy.address) as caller:
        caller.refused(metadata=[("x-no", "1")])
        caller.refused(metadata=[("x-fail", "1")])
    report = policies(proxy)
    assert report["generation"] == 1 and report["reloads"] == {"failures": 0, "last_failure": None}
    policy, = report["policies"]
    assert policy["name"] == "test" and policy["file"].endswith("/policies/test.lua")
    assert policy["hash"] == "sha256:" + hashlib.sha256(GOOD.encode()).hexdigest()
    assert policy["generation"] == 1 and policy["state"] == "serving" and policy["on_error"] == "deny"
    assert len(policy["routes"]) == 1 and policy["listeners"] == []
    request, response = policy["hooks"]["on_request"], policy["hooks"]["on_response"]
    assert request["runs"] == 8 and request["replies"] == 1 and request["errors"] == {"script": 1}
    assert response["runs"] == 7
    assert request["time_us"]["samples"] >= 1 and request["time_us"]["max"] > 0
    assert policy["memory_peak_bytes"] > 10_000
    error = policy["last_error"]
    assert error["hook"] == "on_request" and error["reason"] == "script"
    assert error["message"] == "policies/test.lua:3: asked to fail" and "stack traceback" in error["traceback"]
    assert proxy.metric("moongate_policy_hook_duration_seconds_count", policy="test", hook="on_request") >= 1
    assert proxy.metric("moongate_policy_memory_peak_bytes", policy="test") == policy["memory_peak_bytes"]
    assert proxy.metric("moongate_policy_loaded_timestamp_seconds", policy="test") > 1_600_000_000


def test_a_reload_begins_a_new_count_and_a_refused_one_says_why(moongate, backend):
    proxy = start(moongate, backend)
    with Client(proxy.address) as caller:
        caller.unary()
        proxy.write("policies/test.lua", "function on_request(handle)\n  this is no Lua\nend")
        eventually(lambda: policies(proxy)["reloads"]["failures"], what="the reload is refused")
        report = policies(proxy)
        policy, = report["policies"]
        assert "test.lua:2" in report["reloads"]["last_failure"]
        assert policy["reload_failures"]["count"] == 1
        assert "test.lua:2" in policy["reload_failures"]["last"]["message"]
        assert policy["hooks"]["on_request"]["runs"] == 1 and policy["generation"] == 1
        assert proxy.metric("moongate_policy_reload_failures_total", policy="test") == 1
        proxy.write("policies/test.lua", GOOD + "-- again\n")
        proxy.wait_generation(2)
        eventually(lambda: len(policies(proxy)["policies"]) == 1, what="the old generation ends")
        report = policies(proxy)
        assert report["reloads"]["last_failure"] is None
        policy, = report["policies"]
        assert policy["generation"] == 2 and policy["hooks"] == {}
        caller.unary()
        assert proxy.metric("moongate_policy_runs_total", policy="test", hook="on_request") == 2


def test_counts_go_on_when_a_reload_leaves_the_policies_alone(moongate, backend):
    proxy = start(moongate, backend)
    with Client(proxy.address) as caller:
        caller.unary()
        settings = dict(proxy.configuration, drain={"grace": "31s"})
        proxy.configure(settings)
        proxy.wait_generation(2)
        caller.unary()
    policy, = policies(proxy)["policies"]
    assert policy["generation"] == 1 and policy["hooks"]["on_request"]["runs"] == 2


def test_generations_that_end_are_shown_with_their_exchanges(moongate, backend):
    proxy = start(moongate, backend, workers=1)
    with Client(proxy.address) as caller:
        orders = OpenMessages(Order())
        held = caller.probe.Bidi(iter(orders), timeout=30)
        next(held)
        proxy.write("policies/test.lua", GOOD + "-- again\n")
        proxy.wait_generation(2)
        status, text = proxy.get("/generations")
        assert status == 200
        newest, old = json.loads(text)["generations"]
        assert (newest["number"], newest["state"], newest["exchanges"]) == (2, "serving", 0)
        assert (old["number"], old["state"], old["exchanges"]) == (1, "ending", 1)
        assert [policy["state"] for policy in policies(proxy)["policies"]] == ["serving", "ending"]
        orders.close()
        list(held)
        eventually(lambda: len(json.loads(proxy.get("/generations")[1])["generations"]) == 1,
                   what="the old generation ends")


def test_the_command_prints_a_table_or_json(moongate, backend):
    proxy = start(moongate, backend)
    with Client(proxy.address) as caller:
        caller.refused(metadata=[("x-fail", "1")])
    shown = run_command("policies", "--admin", proxy.admin)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == "generation 1"
    heads, line = lines[2].split(), lines[3].split()
    assert heads[:3] == ["POLICY", "GEN", "HASH"] and line[:2] == ["test", "1"]
    assert "1 script" in lines[3] and "route" in lines[3]
    assert any("asked to fail" in line for line in lines[4:])
    assert proxy.get("/policies?format=text")[1].splitlines()[3].split()[:3] == line[:3]
    assert json.loads(run_command("policies", "--admin", proxy.admin, "--json").stdout)["generation"] == 1
    assert proxy.get("/generations?format=text")[1].split()[:2] == ["GENERATION", "STATE"]


def test_the_command_reads_the_address_from_the_configuration(moongate, backend, tmp_path):
    proxy = start(moongate, backend)
    file = tmp_path / "edge.yaml"
    file.write_text(f"listeners: [{{address: '127.0.0.1:0'}}]\nadmin: {{address: '{proxy.admin}'}}\n")
    assert run_command("policies", "--config", file).stdout.startswith("generation 1\n")
    file.write_text("listeners: [{address: '127.0.0.1:0'}]\n")
    refused = run_command("policies", "--config", file)
    assert refused.returncode == 1 and "has no admin listener" in refused.stderr
    assert run_command("policies").returncode == 64
    proxy.stop()
    silent = run_command("policies", "--admin", proxy.admin)
    assert silent.returncode == 1 and "no answer from" in silent.stderr
