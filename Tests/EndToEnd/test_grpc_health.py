"""`grpc_health`: a listener tells balancers in front how the edge itself is."""
import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from harness.health import NOT_SERVING, SERVING, HealthBackend
from harness.settings import configuration

LISTENER = {"name": "main", "address": "127.0.0.1:0", "grpc_health": True}


def check(proxy, client, service="", address=None):
    stub = health_pb2_grpc.HealthStub(client(address or proxy.address).channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


def test_P1_listener_answers_for_the_edge(moongate, backend, client):
    deny = "function on_request(handle) handle:respond({[':status'] = '403'}, 'no') end\n"
    proxy = moongate(configuration(backend.address, listeners=[{**LISTENER, "policies": ["policies/deny.lua"]}]),
                     policies={"deny.lua": deny})
    assert check(proxy, client) == SERVING
    assert check(proxy, client, "helloworld.Greeter") == SERVING
    assert client(proxy.address).refused().code() == grpc.StatusCode.PERMISSION_DENIED
    assert backend.count() == 0


def test_P1_not_serving_before_the_drain(moongate, backend, client):
    proxy = moongate(configuration(backend.address, listeners=[LISTENER], drain={"delay": "3s", "grace": "1s"}))
    stub = health_pb2_grpc.HealthStub(client(proxy.address).channel)
    request = health_pb2.HealthCheckRequest()
    assert stub.Check(request, timeout=5).status == SERVING
    start = len(proxy.lines)
    proxy.signal(signal.SIGTERM)
    proxy.wait_for_line(lambda line: "shutting down" in line, timeout=5)
    assert start <= len(proxy.lines)
    assert stub.Check(request, timeout=2).status == NOT_SERVING
    assert client(proxy.address).unary(timeout=2), "requests are still served"


def test_other_methods_and_other_listeners_are_routed(moongate, client):
    server = HealthBackend("a", statuses={"": NOT_SERVING})
    try:
        proxy = moongate(configuration(server.address, listeners=[
            LISTENER, {"name": "plain", "address": "127.0.0.1:0"}]))
        assert check(proxy, client) == SERVING
        assert check(proxy, client, address=proxy.bound["plain"]) == NOT_SERVING
        stub = health_pb2_grpc.HealthStub(client(proxy.address).channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=5)
        assert next(watch).status == NOT_SERVING
        watch.cancel()
    finally:
        server.stop()


def test_many_checks_on_one_connection(moongate, backend, client):
    proxy = moongate(configuration(backend.address, listeners=[LISTENER]))
    stub = health_pb2_grpc.HealthStub(client(proxy.address).channel)
    for _ in range(200):
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status == SERVING
    assert client(proxy.address).unary()


@pytest.mark.parametrize("value", [False, "yes"])
def test_anything_but_true_is_a_mistake(moongate, backend, value, tmp_path):
    from harness.proxy import run_command
    from harness.settings import text
    path = tmp_path / "bad.yaml"
    path.write_text(text(configuration(backend.address, listeners=[{**LISTENER, "grpc_health": value}])))
    done = run_command("check", "--config", path)
    assert done.returncode == 2 and "expected true" in done.stderr
