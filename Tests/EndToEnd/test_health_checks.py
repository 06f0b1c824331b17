"""Active health checks: what is asked, what the answers mean, and what becomes of the requests."""
import collections
import json
import socket
import threading
import time

import grpc
import pytest

from harness.backend import Backend
from harness.client import seen_metadata
from harness.health import NOT_SERVING, SERVING, HealthBackend, endpoints, states
from harness.ports import unused_port
from harness.proxy import run_command
from harness.settings import configuration
from harness.waiting import eventually, stays_true

QUICK = {"interval": "50ms", "timeout": "1s", "healthy_threshold": 1, "unhealthy_threshold": 1}


def checked(addresses, check, workers=2, **more):
    return configuration(upstreams={"main": {
        "endpoints": list(addresses), "health_check": {**QUICK, **check}, **more}}, workers=workers)


@pytest.fixture
def servers():
    """Starts servers with grpc.health.v1: `servers("a", "b")`."""
    started = []

    def start(*names, **options):
        made = [HealthBackend(name, **options) for name in names]
        started.extend(made)
        return made

    yield start
    for server in started:
        server.stop()


def spread(caller, count):
    return collections.Counter(caller.unary().backend for _ in range(count))


def until(proxy, server, state, timeout=10):
    eventually(lambda: states(proxy)[server.address] == state, timeout, what=f"{server.name} is {state}")


def test_K2_endpoint_that_is_not_serving_gets_nothing(moongate, servers, client):
    one, two = servers("a", "b")
    proxy = moongate(checked([one.address, two.address], {"grpc": {}}))
    callers = [client(proxy.address).ready() for _ in range(2)]
    until(proxy, one, "healthy")
    until(proxy, two, "healthy")
    for caller in callers:
        assert set(spread(caller, 8)) == {"a", "b"}
    two.health.set("", NOT_SERVING)
    until(proxy, two, "unhealthy")
    for caller in callers:
        assert spread(caller, 20) == {"a": 20}
    [sick] = [endpoint for endpoint in endpoints(proxy) if endpoint["address"] == two.address]
    assert sick["reason"] == "NOT_SERVING" and sick["checked_at"]
    two.health.set("", SERVING)
    until(proxy, two, "healthy")
    for caller in callers:
        assert set(spread(caller, 20)) == {"a", "b"}
    said = proxy.wait_entries(lambda entry: entry.get("endpoint") == two.address, 3)
    assert ("endpoint is unhealthy", "NOT_SERVING") in [(entry["message"], entry.get("reason")) for entry in said]
    assert said[-1]["message"] == "endpoint is healthy"


def test_K2_named_service_and_authority(moongate, servers):
    [one] = servers("a", statuses={"": SERVING, "helloworld.Greeter": NOT_SERVING})
    proxy = moongate(checked([one.address], {"grpc": {"service": "helloworld.Greeter", "authority": "greeter.test"}}))
    until(proxy, one, "unhealthy")
    assert endpoints(proxy)[0]["reason"] == "NOT_SERVING"
    one.health.set("helloworld.Greeter", SERVING)
    until(proxy, one, "healthy")


def test_K2_unknown_service_is_unhealthy(moongate, servers):
    [one] = servers("a")
    proxy = moongate(checked([one.address], {"grpc": {"service": "no.Such"}}))
    until(proxy, one, "unhealthy")
    assert "NOT_FOUND" in endpoints(proxy)[0]["reason"] and "no.Such" in endpoints(proxy)[0]["reason"]


def test_K2_server_without_the_service_is_healthy(moongate, backend):
    proxy = moongate(checked([backend.address], {"grpc": {}}))
    until(proxy, backend, "healthy")
    assert proxy.metric("moongate_upstream_health_checks_total", upstream="main", result="failed") == 0


def test_checks_run_once_for_the_process(moongate, servers):
    [one] = servers("a")
    proxy = moongate(checked([one.address], {"grpc": {}, "interval": "200ms"}, workers=2))
    until(proxy, one, "healthy")
    before, began = len(one.checks), time.monotonic()
    time.sleep(2)
    count, time_taken = len(one.checks) - before, time.monotonic() - began
    # One series of checks makes at most one in 180 ms; two would make more.
    assert 1 <= count <= time_taken / 0.18 + 1, count
    assert all(seen["user-agent"].startswith("moongate-health") for seen in one.checks)


def test_first_check_decides_and_unknown_endpoints_serve_until_then(moongate, servers, client):
    """With an interval of an hour there is one check; before it ends, requests go through."""
    [one] = servers("a")
    proxy = moongate(checked([one.address], {"grpc": {}, "interval": "1h", "healthy_threshold": 5}))
    assert client(proxy.address).unary().backend == "a"
    until(proxy, one, "healthy")
    assert len(one.checks) == 1


def test_endpoint_that_hangs_is_found(moongate, servers, client):
    [one] = servers("a")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        proxy = moongate(checked([one.address, address], {"grpc": {}, "timeout": "200ms"}))
        eventually(lambda: states(proxy) == {one.address: "healthy", address: "unhealthy"}, 10)
        [sick] = [endpoint for endpoint in endpoints(proxy) if endpoint["address"] == address]
        assert "200 ms" in sick["reason"]
        assert spread(client(proxy.address), 20) == {"a": 20}


def test_connection_that_is_refused_is_found_and_recovers(moongate, servers, client):
    one, two = servers("a", "b")
    proxy = moongate(checked([one.address, two.address], {"grpc": {}}))
    until(proxy, two, "healthy")
    two.stop()
    until(proxy, two, "unhealthy")
    caller = client(proxy.address)
    assert spread(caller, 10) == {"a": 10}
    two.start()
    until(proxy, two, "healthy")
    eventually(lambda: spread(caller, 6)["b"], 10)


def test_silence_counts_up_to_the_threshold(moongate, servers):
    [one] = servers("a")
    proxy = moongate(checked([one.address], {"grpc": {}, "unhealthy_threshold": 1000}))
    until(proxy, one, "healthy")
    one.stop()
    failed = {"upstream": "main", "result": "failed"}
    eventually(lambda: proxy.metric("moongate_upstream_health_checks_total", **failed) >= 3)
    assert states(proxy)[one.address] == "healthy"
    assert "the last check failed" in endpoints(proxy)[0]["reason"]


def test_tcp_check(moongate, backend):
    dead = f"127.0.0.1:{unused_port()}"
    proxy = moongate(checked([backend.address, dead], {"tcp": {}}))
    eventually(lambda: states(proxy) == {backend.address: "healthy", dead: "unhealthy"}, 10)
    assert any("refused" in endpoint.get("reason", "").lower() for endpoint in endpoints(proxy))


def test_http_check_goes_over_http2(moongate, upstream):
    status = ["200"]
    seen = []

    def answer(connection, head):
        seen.append({name: head.get(name) for name in (":method", ":path", ":authority", ":scheme")})
        connection.send(*connection.headers_frames(head.stream, [(":status", status[0])], end_stream=True))

    server = upstream(answer)
    check = {"http": {"path": "/healthz?full", "host": "health.test", "expected_statuses": [200, 204]}}
    proxy = moongate(checked([server.address], check))
    eventually(lambda: states(proxy)[server.address] == "healthy", 10)
    assert seen[0] == {":method": "GET", ":path": "/healthz?full", ":authority": "health.test", ":scheme": "http"}
    status[0] = "503"
    eventually(lambda: states(proxy)[server.address] == "unhealthy", 10)
    assert endpoints(proxy)[0]["reason"] == "HTTP status 503"
    status[0] = "204"
    eventually(lambda: states(proxy)[server.address] == "healthy", 10)
    # All on one connection.
    assert len(server.connections) == 1


def test_checks_speak_tls_as_requests_do(moongate, servers, authority):
    ca, other = authority(), authority("other")
    server = ca.issue("server", ["127.0.0.1"])
    [one] = servers("a", credentials=grpc.ssl_server_credentials([(server.key_pem, server.pem)]))

    def trusting(root):
        return checked([one.address], {"grpc": {}}, tls={"ca": str(root.certificate)})

    proxy = moongate(trusting(ca))
    until(proxy, one, "healthy")
    proxy.configure(trusting(other))
    proxy.reload()
    until(proxy, one, "unhealthy")
    assert "unable to get local issuer certificate" in endpoints(proxy)[0]["reason"]
    proxy.configure(trusting(ca))
    proxy.reload()
    until(proxy, one, "healthy")


def test_panic_uses_all_endpoints(moongate, servers, client):
    one, two, three = servers("a", "b", "c")
    proxy = moongate(checked([one.address, two.address, three.address], {"grpc": {}}))
    for server in (one, two, three):
        until(proxy, server, "healthy")
    caller = client(proxy.address)
    one.health.set("", NOT_SERVING)
    until(proxy, one, "unhealthy")
    assert set(spread(caller, 12)) == {"b", "c"}
    two.health.set("", NOT_SERVING)
    until(proxy, two, "unhealthy")
    # One of three is less than half.
    assert set(spread(caller, 12)) == {"a", "b", "c"}


def test_without_panic_requests_fail_with_the_reason(moongate, servers, client):
    [one] = servers("a", statuses={"": NOT_SERVING})
    proxy = moongate(checked([one.address], {"grpc": {}}, panic_threshold=0))
    until(proxy, one, "unhealthy")
    error = client(proxy.address).refused()
    assert error.code().value[0] == 14
    assert "NOT_SERVING" in error.details() and one.address not in error.details()
    one.health.set("", SERVING)
    until(proxy, one, "healthy")
    assert client(proxy.address).unary()


def test_checks_come_change_and_go_with_reloads(moongate, servers, client):
    one, two = servers("a", "b")
    two.health.set("", NOT_SERVING)
    plain = configuration(upstreams={"main": [one.address, two.address]}, workers=2)
    proxy = moongate(plain)
    caller = client(proxy.address)
    assert set(spread(caller, 8)) == {"a", "b"}
    proxy.configure(checked([one.address, two.address], {"grpc": {}}))
    proxy.reload()
    until(proxy, two, "unhealthy")
    assert set(spread(caller, 8)) == {"a"}
    proxy.configure(checked([one.address, two.address], {"grpc": {"service": "none"}}))
    proxy.reload()
    eventually(lambda: set(states(proxy).values()) == {"unhealthy"}, 10)
    proxy.configure(plain)
    proxy.reload()
    eventually(lambda: set(states(proxy).values()) == {"healthy"}, 10)
    assert set(spread(caller, 8)) == {"a", "b"}
    seen = len(one.checks)
    stays_true(lambda: len(one.checks) == seen, 0.5)


def test_endpoint_that_leaves_the_configuration_is_checked_no_more(moongate, servers):
    one, two = servers("a", "b")
    proxy = moongate(checked([one.address, two.address], {"grpc": {}}))
    until(proxy, two, "healthy")
    proxy.configure(checked([one.address], {"grpc": {}}))
    proxy.reload()
    eventually(lambda: list(states(proxy)) == [one.address], 10)
    time.sleep(0.3)
    seen = len(two.checks)
    stays_true(lambda: len(two.checks) == seen, 0.5)
    assert len(one.checks) > 1


def test_health_survives_a_reload_that_renews_the_endpoints(moongate, servers, client):
    one, two = servers("a", "b")
    two.health.set("", NOT_SERVING)
    proxy = moongate(checked([one.address, two.address], {"grpc": {}}))
    until(proxy, two, "unhealthy")
    caller = client(proxy.address)
    stop = threading.Event()
    backends = set()

    def call():
        while not stop.is_set():
            backends.add(caller.unary().backend)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    for number in range(3):
        proxy.configure(checked([one.address, two.address], {"grpc": {}}, connect_timeout=f"{number + 1}s"))
        proxy.reload()
    time.sleep(0.3)
    stop.set()
    thread.join()
    assert backends == {"a"}


def test_script_sees_the_health(moongate, servers, client):
    one, two = servers("a", "b")
    two.health.set("", NOT_SERVING)
    policy = """
function on_request(handle)
  local list = {}
  for _, endpoint in ipairs(handle:upstreams("main")) do
    list[#list + 1] = endpoint.endpoint .. "=" .. tostring(endpoint.healthy)
  end
  handle:headers():add("x-health", table.concat(list, " "))
end
"""
    settings = checked([one.address, two.address], {"grpc": {}})
    settings["routes"][0]["policies"] = ["policies/show.lua"]
    proxy = moongate(settings, policies={"show.lua": policy})
    until(proxy, two, "unhealthy")
    until(proxy, one, "healthy")
    seen = seen_metadata(client(proxy.address).unary())
    assert seen["x-health"] == [f"{one.address}=true {two.address}=false".encode()]


def test_command_and_page_show_endpoints(moongate, servers):
    one, two = servers("a", "b")
    two.health.set("", NOT_SERVING)
    proxy = moongate(checked([{"address": one.address, "weight": 3}, two.address], {"grpc": {}}))
    until(proxy, two, "unhealthy")
    until(proxy, one, "healthy")
    done = run_command("upstreams", "--admin", proxy.admin)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["UPSTREAM", "ENDPOINT", "STATE", "WEIGHT", "ACTIVE", "REASON"]
    assert ["main", one.address, "healthy", "3", "0"] in rows
    assert ["main", two.address, "unhealthy", "1", "0", "NOT_SERVING"] in rows
    assert json.loads(run_command("upstreams", "--admin", proxy.admin, "--json").stdout)["upstreams"]
    assert proxy.metric("moongate_upstream_endpoints", upstream="main", state="unhealthy") == 1


def test_slow_start_gives_a_recovered_endpoint_little_at_first(moongate, servers, client):
    one, two = servers("a", "b")
    window = 8
    proxy = moongate(checked([one.address, two.address], {"grpc": {}}, slow_start={"window": f"{window}s"}))
    until(proxy, one, "healthy")
    until(proxy, two, "healthy")
    two.health.set("", NOT_SERVING)
    time.sleep(window + 0.5)
    caller = client(proxy.address)
    two.health.set("", SERVING)
    until(proxy, two, "healthy")
    began = time.monotonic()
    count = spread(caller, 50)
    assert count["a"] > 30, count
    # At most what the share has grown to meanwhile would make even.
    assert time.monotonic() - began < window
    time.sleep(max(0, began + window + 0.5 - time.monotonic()))
    assert spread(caller, 40) == {"a": 20, "b": 20}


def test_dead_backend_of_many_is_left_out(moongate, client):
    servers = [Backend(name) for name in "abcd"]
    try:
        proxy = moongate(checked([server.address for server in servers], {"tcp": {}}))
        eventually(lambda: set(states(proxy).values()) == {"healthy"}, 10)
        servers[0].stop()
        until(proxy, servers[0], "unhealthy")
        assert set(spread(client(proxy.address), 30)) == {"b", "c", "d"}
    finally:
        for server in servers:
            server.stop()
