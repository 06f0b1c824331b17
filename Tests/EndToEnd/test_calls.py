"""The four kinds of calls through the proxy, with a real grpcio client and server on its sides."""
import os
import threading
import time

import grpc
import pytest

from harness.client import seen_metadata
from harness.stubs import Order, Pair


def test_S1_unary_call_carries_message_metadata_and_trailers(echo):
    proxy, backend, client = echo
    order = Order(
        payload=b"x" * 100, answer_bytes=200,
        initial_metadata=[Pair(key="x-initial", value=b"one")],
        trailing_metadata=[Pair(key="x-trailing", value=b"two")])
    report, call = client.probe.Unary.with_call(order, metadata=[("x-asked", "three")], timeout=10)
    assert report.received_bytes == 100 and len(report.payload) == 200
    assert seen_metadata(report)["x-asked"] == [b"three"]
    assert ("x-initial", "one") in call.initial_metadata()
    assert ("x-trailing", "two") in call.trailing_metadata()
    assert call.code() is grpc.StatusCode.OK


def test_R1_two_hundred_calls_on_one_connection(echo):
    _, backend, client = echo
    calls = [client.probe.Unary.future(Order(payload=bytes([n % 256]) * n), timeout=20) for n in range(200)]
    assert [call.result().received_bytes for call in calls] == list(range(200))


def test_R8_client_stream_is_answered_after_half_close(echo):
    _, _, client = echo
    orders = (Order(payload=b"y" * 1000, answer_bytes=5) for _ in range(50))
    report = client.probe.ClientStream(orders, timeout=10)
    assert (report.received_orders, report.received_bytes, len(report.payload)) == (50, 50_000, 5)


def test_R8_empty_client_stream_is_answered(echo):
    _, _, client = echo
    assert client.probe.ClientStream(iter(()), timeout=10).received_orders == 0


def test_S1_server_stream_arrives_in_order_with_trailers(echo):
    _, _, client = echo
    call = client.probe.ServerStream(
        Order(count=300, answer_bytes=777, trailing_metadata=[Pair(key="x-end", value=b"yes")]), timeout=20)
    reports = list(call)
    assert [report.index for report in reports] == list(range(300))
    assert {len(report.payload) for report in reports} == {777}
    assert ("x-end", "yes") in call.trailing_metadata()


def test_S2_server_stream_without_messages_ends_well(echo):
    _, _, client = echo
    call = client.probe.ServerStream(Order(count=0), timeout=10)
    assert list(call) == [] and call.code() is grpc.StatusCode.OK


def test_F2_bidi_ping_pong_is_never_held_back(echo):
    _, _, client = echo
    answered = threading.Semaphore(1)

    def orders():
        for _ in range(100):
            assert answered.acquire(timeout=5)
            yield Order(payload=b"ping", answer_bytes=4)

    began = time.monotonic()
    count = 0
    for report in client.probe.Bidi(orders(), timeout=20):
        count += 1
        assert report.received_orders == count
        answered.release()
    assert count == 100
    assert time.monotonic() - began < 5


def test_X5_server_may_end_a_bidi_call_before_the_client(echo):
    _, _, client = echo
    more = threading.Event()

    def orders():
        yield Order(payload=b"1", answer_bytes=3, finish=True,
                    trailing_metadata=[Pair(key="x-end", value=b"early")])
        more.wait(10)

    call = client.probe.Bidi(orders(), timeout=10)
    assert [len(report.payload) for report in call] == [3]
    assert call.code() is grpc.StatusCode.OK
    assert ("x-end", "early") in call.trailing_metadata()
    more.set()


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_S4_every_status_arrives_with_its_text(echo, code):
    _, _, client = echo
    error = client.refused(Order(code=code.value[0], message=f"told {code.name}"))
    assert error.code() is code
    assert error.details() == f"told {code.name}"


@pytest.mark.parametrize("kind", ["Unary", "ClientStream", "ServerStream", "Bidi"])
def test_S1_error_status_after_every_kind_of_call(echo, kind):
    _, _, client = echo
    order = Order(code=5, message="nothing here", count=2, finish=True)
    stub = getattr(client.probe, kind)
    with pytest.raises(grpc.RpcError) as failure:
        if kind in ("ClientStream", "Bidi"):
            answer = stub(iter([order]), timeout=10)
        else:
            answer = stub(order, timeout=10)
        list(answer)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_S4_special_status_message_survives(echo):
    _, _, client = echo
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n 100% \"quoted\""
    assert client.refused(Order(code=2, message=text)).details() == text


def test_S9_status_details_and_binary_trailers_survive(echo):
    _, _, client = echo
    details = os.urandom(3000)
    order = Order(code=9, message="m", details=details,
                  trailing_metadata=[Pair(key="x-custom-bin", value=bytes(range(256)))])
    trailing = dict(client.refused(order).trailing_metadata())
    assert trailing["grpc-status-details-bin"] == details
    assert trailing["x-custom-bin"] == bytes(range(256))


@pytest.mark.parametrize("size", [0, 1, 16378, 16379, 16383, 16384, 16385, 65529, 65530, 65534, 65535, 65536, 65537,
                                  300_000, 2_000_000])
def test_F1_messages_around_frame_and_window_sizes_both_ways(echo, size):
    _, _, client = echo
    order = Order(payload=b"p" * size, answer_bytes=size, trailing_metadata=[Pair(key="x-end", value=b"%d" % size)])
    report, call = client.probe.Unary.with_call(order, timeout=20)
    assert report.received_bytes == size and len(report.payload) == size
    assert ("x-end", str(size)) in call.trailing_metadata()


@pytest.mark.parametrize("size", [16383, 16384, 16385, 65534, 65535, 65536, 65537])
def test_F1_streams_of_messages_around_frame_and_window_sizes(echo, size):
    _, _, client = echo
    orders = [Order(payload=b"p" * size, answer_bytes=size) for _ in range(8)]
    call = client.probe.Bidi(iter(orders), timeout=20)
    assert [len(report.payload) for report in call] == [size] * 8


def test_R6_binary_metadata_passes_untouched_and_in_order(echo):
    _, _, client = echo
    values = [os.urandom(length) for length in (0, 1, 2, 3, 100)]
    metadata = [("x-many-bin", value) for value in values] + [("x-many", str(n)) for n in range(5)]
    report = client.unary(metadata=metadata)
    assert seen_metadata(report)["x-many-bin"] == values
    assert seen_metadata(report)["x-many"] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("size", [8_000, 16_384, 32_000, 60_000])
def test_R7_F5_large_metadata_passes_both_ways(echo, size):
    _, _, client = echo
    value = "v" * size
    order = Order(initial_metadata=[Pair(key="x-large", value=value.encode())])
    report, call = client.probe.Unary.with_call(order, metadata=[("x-large", value)], timeout=10)
    assert seen_metadata(report)["x-large"] == [value.encode()]
    assert dict(call.initial_metadata())["x-large"] == value


def test_R7_status_details_of_64_kib_pass(echo):
    _, _, client = echo
    details = os.urandom(49_152)      # 65,536 characters in base64
    trailing = dict(client.refused(Order(code=9, message="m", details=details)).trailing_metadata())
    assert trailing["grpc-status-details-bin"] == details


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_K1_compressed_messages_pass(echo, algorithm):
    _, _, client = echo
    report = client.unary(Order(payload=b"z" * 50_000, answer_bytes=50_000), compression=algorithm)
    assert report.received_bytes == 50_000 and len(report.payload) == 50_000


def test_K3_unimplemented_method_of_the_backend(echo):
    _, _, client = echo
    call = client.channel.unary_unary("/moongate.test.Probe/Nothing")
    with pytest.raises(grpc.RpcError) as failure:
        call(b"", timeout=10)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_greeter_says_hello(echo):
    _, _, client = echo
    assert client.hello("Moongate") == "Hello, Moongate!"
