"""The admin listener: /metrics, /live, /ready."""
import socket
import urllib.error
import urllib.request

import grpc
import pytest

from harness.frame_client import request
from harness.ports import split
from harness.settings import configuration
from harness.stubs import Order
from harness.waiting import eventually


def test_live_and_ready(echo):
    proxy, _, _ = echo
    assert proxy.get("/live")[0] == 200
    eventually(lambda: proxy.get("/ready")[0] == 200)
    assert proxy.get("/nothing")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_get_is_served(echo, method):
    proxy, _, _ = echo
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"http://{proxy.admin}/live", method=method), timeout=5)
    assert refused.value.code == 405


@pytest.mark.parametrize("octets", [
    b"\0\1\2\3\r\n\r\n", b"GET /live\r\n\r\n", b"GET /live HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
    b"GET  /live HTTP/1.1\r\nHost: x\r\n\r\n", b"A" * 100_000,
])
def test_malformed_requests_are_refused(echo, octets):
    proxy, _, _ = echo
    with socket.create_connection(split(proxy.admin), timeout=5) as plain:
        try:
            plain.sendall(octets)
            answer = plain.recv(4096)
        except ConnectionError:
            answer = b""
    assert not answer or b" 4" in answer.split(b"\r\n")[0], answer
    assert proxy.get("/live")[0] == 200


def test_metrics_are_prometheus_text(echo):
    proxy, _, client = echo
    client.hello()
    names = {sample.name for sample in proxy.samples()}
    assert {"moongate_requests_total", "moongate_request_duration_seconds_bucket", "moongate_generation",
            "moongate_upstream_connections", "moongate_reloads_total", "moongate_workers"} <= names


def test_S10_requests_are_counted_by_route_and_status_from_trailers(echo):
    proxy, _, client = echo
    for _ in range(5):
        client.unary()
    for code in (5, 5, 13):
        client.refused(Order(code=code))
    eventually(lambda: proxy.metric("moongate_requests_total", route="all", grpc_status=0) == 5)
    eventually(lambda: proxy.metric("moongate_requests_total", route="all", grpc_status=5) == 2)
    eventually(lambda: proxy.metric("moongate_requests_total", route="all", grpc_status=13) == 1)
    assert proxy.metric("moongate_request_duration_seconds_count", route="all") == 8


def test_S10_local_replies_and_cancels_are_counted(echo):
    proxy, backend, client = echo
    call = client.probe.ServerStream(Order(count=1000, delay_ms=50), timeout=30)
    next(call)
    call.cancel()
    eventually(lambda: proxy.metric("moongate_requests_total", route="all", grpc_status=1) == 1)
    assert client.refused(Order(delay_ms=3000), timeout=0.2).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: proxy.metric("moongate_requests_total", route="all") == 2)


def test_durations_are_in_a_histogram(echo):
    proxy, _, client = echo
    client.unary(Order(delay_ms=300))
    eventually(lambda: proxy.metric("moongate_request_duration_seconds_count", route="all") == 1)
    assert 0.29 < proxy.metric("moongate_request_duration_seconds_sum", route="all") < 1
    buckets = sorted(
        (float(sample.labels["le"]), sample.value) for sample in proxy.samples()
        if sample.name == "moongate_request_duration_seconds_bucket" and sample.labels["route"] == "all")
    assert [count for bound, count in buckets if bound < 0.2] == [0] * len([1 for bound, _ in buckets if bound < 0.2])
    assert buckets[-1] == (float("inf"), 1)


def test_connections_and_streams_are_gauges(echo):
    proxy, _, client = echo
    call = client.probe.ServerStream(Order(count=1000, delay_ms=50), timeout=30)
    next(call)
    assert proxy.metric("moongate_downstream_connections") == 1
    assert proxy.metric("moongate_downstream_streams") == 1
    assert proxy.metric("moongate_upstream_connections", upstream="main") == 1
    assert proxy.metric("moongate_upstream_streams", upstream="main") == 1
    call.cancel()
    eventually(lambda: proxy.metric("moongate_upstream_streams", upstream="main") == 0)
    client.close()
    eventually(lambda: proxy.metric("moongate_downstream_connections") == 0)


def test_bytes_are_counted(echo):
    proxy, _, client = echo
    client.unary(Order(payload=b"x" * 10_000, answer_bytes=20_000))
    eventually(lambda: proxy.metric("moongate_request_bytes_total", route="all") >= 10_000)
    assert 10_000 <= proxy.metric("moongate_request_bytes_total", route="all") < 11_000
    assert 20_000 <= proxy.metric("moongate_response_bytes_total", route="all") < 22_000


def test_unmatched_requests_have_bounded_series(moongate, connect):
    proxy = moongate(configuration(routes=[], upstreams={}))
    client = connect(proxy.address)
    client.call()
    before = len(proxy.samples())
    for number in range(200):
        client.call(request(path=f"/service{number}/Method", authority=f"host{number}"))
    eventually(lambda: proxy.metric("moongate_requests_total", grpc_status=12) == 201)
    assert len(proxy.samples()) == before


def test_admin_answers_while_a_script_hogs_the_worker(moongate, backend, client):
    proxy = moongate(
        configuration(backend.address, routes=[{
            "name": "all", "upstream": "main", "policies": [{"policy": "policies/busy.lua"}]}]),
        policies={"busy.lua": "function on_request(h) for i = 1, 3000000 do local x = i * i end end\n"})
    calls = [client(proxy.address).probe.Unary.future(Order(), timeout=20) for _ in range(5)]
    assert proxy.get("/live", timeout=1)[0] == 200
    for call in calls:
        call.exception(20)
