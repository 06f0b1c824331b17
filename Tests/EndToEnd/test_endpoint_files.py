"""Endpoints in files of their own, which change while the edge runs."""
import json

from harness.client import OpenMessages
from harness.proxy import run_command
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually, stays_true


def start(moongate, servers, **more):
    return moongate(
        configuration(upstreams={"main": {"endpoints_file": "endpoints.yaml"}}, **more),
        files={"endpoints.yaml": listing(servers)})


def listing(servers):
    return "".join(f"- {server.address}\n" for server in servers)


def test_a_change_takes_effect_and_streams_go_on(moongate, backends, client):
    one, two = backends("a", "b")
    proxy = start(moongate, [one])
    caller = client(proxy.address)
    messages = OpenMessages(Order())
    stream = caller.probe.Bidi(iter(messages), timeout=60)
    assert next(stream).backend == "a"
    proxy.write("endpoints.yaml", listing([two]))
    eventually(lambda: caller.unary().backend == "b", 10)
    messages.put(Order())
    assert next(stream).backend == "a"
    messages.close()
    assert list(stream) == []


def test_connections_to_endpoints_that_stay_are_kept(moongate, backends, client):
    one, two = backends("a", "b")
    proxy = start(moongate, [one])
    caller = client(proxy.address)
    caller.unary()
    peer = one.last().peer
    proxy.write("endpoints.json", "[]")
    proxy.write("endpoints.yaml", json.dumps([{"address": one.address, "weight": 1}, two.address]))
    eventually(lambda: {caller.unary().backend for _ in range(4)} == {"a", "b"}, 10)
    assert {call.peer for call in one.calls} == {peer}


def test_policies_go_on(moongate, backends, client):
    one, two = backends("a", "b")
    policy = """
        local count = 0
        function on_request(handle)
          count = count + 1
          handle:headers():add("x-count", tostring(count))
        end
    """
    proxy = start(moongate, [one], routes=[route(policies=[{"name": "count", "lua": policy}])])
    caller = client(proxy.address)
    for _ in range(3):
        caller.unary()
    proxy.write("endpoints.yaml", listing([two]))
    proxy.wait_generation(2)
    eventually(lambda: caller.unary().backend == "b", 10)
    assert int(two.last().values("x-count")[0]) >= 4, "the policy's state was lost"


def test_a_bad_file_keeps_the_old_endpoints_and_tells_the_line(moongate, backends, client):
    [one] = backends("a")
    proxy = start(moongate, [one])
    caller = client(proxy.address)
    for text, expected in [
            ("- 127.0.0.1:1\n- nowhere\n", "endpoints.yaml:2:3"), ("", "the file is empty"),
            ("[]\n", "at least one element")]:
        failures, lines = proxy.failed_reloads(), len(proxy.lines)
        proxy.write("endpoints.yaml", text)
        eventually(lambda: proxy.failed_reloads() > failures, 10)
        eventually(lambda: any(expected in line for line in proxy.lines[lines:]), 5, what=expected)
        assert caller.unary().backend == "a"
    (proxy.folder / "endpoints.yaml").unlink()
    stays_true(lambda: caller.unary().backend == "a", 1)


def test_check_reads_the_file(moongate, backends, tmp_path):
    config = configuration(upstreams={"main": {"endpoints_file": "list.yaml"}})
    (tmp_path / "m.yaml").write_text(json.dumps(config))
    missing = run_command("check", "--config", tmp_path / "m.yaml")
    assert missing.returncode == 2 and "list.yaml" in missing.stderr + missing.stdout
    (tmp_path / "list.yaml").write_text("- 127.0.0.1:1\n")
    assert run_command("check", "--config", tmp_path / "m.yaml").returncode == 0
