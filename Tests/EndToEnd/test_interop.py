"""gRPC's own interoperability cases, its health service and reflection, through the proxy unchanged (K2, K3)."""
import concurrent.futures
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from harness.settings import configuration
from harness.stubs import Order, Pair, probe_pb2

REQUEST_SIZES = [27182, 8, 1828, 45904]
RESPONSE_SIZES = [31415, 9, 2653, 58979]


def test_K3_empty_unary(echo):
    _, _, client = echo
    assert client.unary(Order()).received_bytes == 0


def test_K3_large_unary(echo):
    _, _, client = echo
    report = client.unary(Order(payload=bytes(271_828), answer_bytes=314_159))
    assert report.received_bytes == 271_828 and len(report.payload) == 314_159


def test_K3_client_streaming(echo):
    _, _, client = echo
    orders = (Order(payload=bytes(size)) for size in REQUEST_SIZES)
    assert client.probe.ClientStream(orders, timeout=10).received_bytes == sum(REQUEST_SIZES) == 74_922


def test_K3_ping_pong_with_sizes(echo):
    _, _, client = echo
    answered = threading.Semaphore(1)

    def orders():
        for asked, wanted in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
            assert answered.acquire(timeout=5)
            yield Order(payload=bytes(asked), answer_bytes=wanted)

    sizes = []
    for report in client.probe.Bidi(orders(), timeout=10):
        sizes.append(len(report.payload))
        answered.release()
    assert sizes == RESPONSE_SIZES


def test_K3_empty_stream(echo):
    _, _, client = echo
    call = client.probe.Bidi(iter(()), timeout=10)
    assert list(call) == [] and call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("kind", ["Unary", "Bidi"])
def test_K3_custom_metadata(echo, kind):
    _, _, client = echo
    value = b"\xab\xab\xab"
    order = Order(
        initial_metadata=[Pair(key="x-grpc-test-echo-initial", value=b"test_initial_metadata_value")],
        trailing_metadata=[Pair(key="x-grpc-test-echo-trailing-bin", value=value)], finish=True)
    if kind == "Unary":
        _, call = client.probe.Unary.with_call(order, timeout=10)
    else:
        call = client.probe.Bidi(iter([order]), timeout=10)
        list(call)
    assert dict(call.initial_metadata())["x-grpc-test-echo-initial"] == "test_initial_metadata_value"
    assert dict(call.trailing_metadata())["x-grpc-test-echo-trailing-bin"] == value


def test_K3_cancel_after_begin(echo):
    _, backend, client = echo
    hold = threading.Event()

    def orders():
        hold.wait(5)
        yield Order()

    call = client.probe.ClientStream.future(orders(), timeout=10)
    time.sleep(0.1)
    call.cancel()
    hold.set()
    assert call.code() is grpc.StatusCode.CANCELLED
    assert backend.last().done.wait(2)


def test_K3_cancel_after_first_response(echo):
    _, backend, client = echo
    hold = threading.Event()

    def orders():
        yield Order(payload=bytes(27182), answer_bytes=31415)
        hold.wait(5)

    call = client.probe.Bidi(orders(), timeout=10)
    assert len(next(call).payload) == 31415
    call.cancel()
    hold.set()
    with pytest.raises(grpc.RpcError) as failure:
        next(call)
    assert failure.value.code() is grpc.StatusCode.CANCELLED
    assert backend.last().done.wait(2)


def test_K3_timeout_on_sleeping_server(echo):
    _, _, client = echo
    with pytest.raises(grpc.RpcError) as failure:
        list(client.probe.Bidi(iter([Order(payload=bytes(27182), delay_ms=2000)]), timeout=0.05))
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_K3_unimplemented_service(echo):
    _, _, client = echo
    with pytest.raises(grpc.RpcError) as failure:
        client.channel.unary_unary("/grpc.testing.UnimplementedService/UnimplementedCall")(b"", timeout=5)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
def services(moongate):
    """A server with health and reflection behind the proxy; gives health's servicer and a channel."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = [probe_pb2.DESCRIPTOR.services_by_name["Probe"].full_name, health.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    proxy = moongate(configuration(f"127.0.0.1:{port}"))
    with grpc.insecure_channel(proxy.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield servicer, channel
    server.stop(None)


def test_K2_health_check_and_watch(services):
    servicer, channel = services
    stub = health_pb2_grpc.HealthStub(channel)
    states = health_pb2.HealthCheckResponse
    servicer.set("probe", states.NOT_SERVING)
    assert stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=5).status == states.SERVING
    with pytest.raises(grpc.RpcError) as failure:
        stub.Check(health_pb2.HealthCheckRequest(service="unknown"), timeout=5)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="probe"), timeout=10)
    assert next(watch).status == states.NOT_SERVING
    servicer.set("probe", states.SERVING)
    assert next(watch).status == states.SERVING
    watch.cancel()


def test_K2_reflection(services):
    _, channel = services
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [reflection_pb2.ServerReflectionRequest(list_services=""),
             reflection_pb2.ServerReflectionRequest(file_containing_symbol="moongate.test.Probe")]
    listed, described = list(stub.ServerReflectionInfo(iter(asked), timeout=5))
    assert "moongate.test.Probe" in [service.name for service in listed.list_services_response.service]
    assert described.file_descriptor_response.file_descriptor_proto
