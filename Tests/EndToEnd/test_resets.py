"""RST_STREAM in both directions (rules X)."""
import time

import grpc
import pytest

from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import CANCEL, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM, message
from harness.settings import configuration
from harness.stubs import Order
from harness.waiting import eventually


def begin(between, end_stream=True):
    _, client, server = between
    stream = client.open(end_stream=end_stream)
    connection, head = server.next_request()
    return client, stream, connection, head.stream


def cancelled_after(connection, stream, began, limit):
    reset = connection.expect("RstStream", stream, timeout=2)
    assert reset.code == CANCEL
    assert reset.at - began < limit, f"RST_STREAM took {reset.at - began:.3f} s"


@pytest.mark.parametrize("code", [CANCEL, NO_ERROR, 0x2, 0x8, 0xd])
def test_X2_client_reset_reaches_the_upstream_as_cancel_within_100ms(between, code):
    client, stream, connection, theirs = begin(between)
    began = time.monotonic()
    client.reset(stream, code)
    cancelled_after(connection, theirs, began, 0.1)


def test_X2_client_reset_during_the_answer_reaches_the_upstream(between):
    client, stream, connection, theirs = begin(between, end_stream=False)
    connection.send_headers(theirs, RESPONSE)
    connection.send_data(theirs, message(b"1"))
    client.expect("Data", stream)
    began = time.monotonic()
    client.reset(stream)
    cancelled_after(connection, theirs, began, 0.1)


def test_X2_client_reset_with_a_full_upstream_window_is_not_queued_behind_data(moongate, upstream, connect):
    server = upstream(settings={0x4: 1000}, refill=False)
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address)
    stream = client.open()
    connection, head = server.next_request()
    client.send_data(stream, b"x" * 50_000)
    connection.expect("Data", head.stream)
    began = time.monotonic()
    client.reset(stream)
    cancelled_after(connection, head.stream, began, 0.1)


def test_X2_lost_client_connection_cancels_all_its_streams(between):
    _, client, server = between
    for _ in range(5):
        client.open()
    connection, head = server.next_request()
    theirs = [head.stream] + [connection.next_request().stream for _ in range(4)]
    began = time.monotonic()
    client.abort()
    for stream in theirs:
        cancelled_after(connection, stream, began, 0.3)


def test_X2_client_cancel_reaches_a_grpcio_backend_within_100ms(echo):
    _, backend, client = echo
    call = client.probe.ServerStream(Order(count=1000, delay_ms=20), timeout=30)
    next(call)
    began = time.monotonic()
    call.cancel()
    seen = backend.last()
    assert seen.done.wait(2)
    assert seen.ended - began < 0.1


def test_X2_other_streams_of_the_connection_are_not_touched(between):
    _, client, server = between
    first, second = client.open(), client.open()
    connection, one = server.next_request()
    two = connection.next_request()
    client.reset(first)
    connection.expect("RstStream", one.stream)
    client.send_data(second, b"", end_stream=True)
    connection.respond(two.stream)
    assert client.end(second).get("grpc-status") == "0"


@pytest.mark.parametrize("code, status", [
    (0x0, 13), (0x1, 13), (0x2, 13), (0x3, 13), (0x4, 13), (0x6, 13), (0x9, 13), (0xa, 13), (0x7, 14), (0x8, 1),
    (0xb, 8), (0xc, 7),
])
def test_X1_X3_reset_before_the_answer_becomes_the_mapped_status(between, code, status):
    client, stream, connection, theirs = begin(between)
    connection.reset(theirs, code)
    for _ in range(10 if code == REFUSED_STREAM else 0):
        # Safe to try again (C2): if the proxy does, refuse that one as well.
        try:
            connection.reset(connection.next_request(timeout=0.3).stream, code)
        except AssertionError:
            break
    frames = client.answer(stream)
    assert [frame.type for frame in frames] == ["Headers"]
    assert frames[0].get("grpc-status") in (str(status), "14")
    if status not in (13, 1):
        assert frames[0].get("grpc-status") == str(status)


def test_X3_reset_between_messages_becomes_trailers(between):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE)
    connection.send_data(theirs, message(b"whole"))
    client.expect("Data", stream)
    connection.reset(theirs, 0xb)
    last = client.end(stream)
    assert last.type == "Headers" and last.ends_stream and last.get("grpc-status") == "8"


@pytest.mark.parametrize("code, seen", [
    # Which would say that the response is complete.
    (NO_ERROR, INTERNAL_ERROR), (INTERNAL_ERROR, INTERNAL_ERROR), (CANCEL, CANCEL), (0xb, 0xb), (0x1, 0x1)])
def test_X3_reset_mid_message_keeps_its_code(between, code, seen):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE)
    connection.send_data(theirs, message(b"12345678")[:9])
    client.expect("Data", stream)
    connection.reset(theirs, code)
    last = client.end(stream)
    assert last.type == "RstStream" and last.code == seen


@pytest.mark.parametrize("code, seen", [(NO_ERROR, INTERNAL_ERROR), (CANCEL, CANCEL)])
def test_X3_reset_within_another_response_does_not_look_like_its_end(between, code, seen):
    _, client, server = between
    stream = client.open(request("/", content_type="text/plain"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", "200"), ("content-type", "text/plain")])
    connection.send_data(head.stream, b"half of it")
    client.expect("Data", stream)
    connection.reset(head.stream, code)
    last = client.end(stream)
    assert last.type == "RstStream" and last.code == seen


def test_X4_early_answer_and_reset_no_error_arrives_whole(between):
    client, stream, connection, theirs = begin(between, end_stream=False)
    client.send_data(stream, message(b"first"))
    connection.expect("Data", theirs)
    frames = connection.headers_frames(theirs, RESPONSE)
    frames.append(connection.data_frame(theirs, message(b"enough")))
    frames += connection.headers_frames(theirs, [("grpc-status", "9"), ("x-why", "full")], end_stream=True)
    connection.send(*frames)
    connection.reset(theirs, NO_ERROR)
    answered = client.wait_for(lambda frame: frame.stream == stream and frame.ends_stream)
    assert answered.get("grpc-status") == "9" and answered.get("x-why") == "full"
    assert client.body(stream) == message(b"enough")
    time.sleep(0.2)
    resets = [frame for frame in client.of_stream(stream) if frame.type == "RstStream"]
    assert all(frame.code == NO_ERROR for frame in resets)
    assert client.of_stream(stream).index(answered) < len(client.of_stream(stream)) - len(resets) or not resets


def test_X4_large_early_answer_arrives_whole_though_the_client_reads_late(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address, settings={0x4: 10_000}, refill=False)
    stream = client.open()
    connection, head = server.next_request()
    body = message(b"b" * 40_000)
    connection.send_headers(head.stream, RESPONSE)
    connection.send_allowed(head.stream, body)
    connection.send_headers(head.stream, OK, end_stream=True)
    connection.reset(head.stream, NO_ERROR)
    eventually(lambda: len(client.body(stream)) == 10_000, what="what the window allows")
    time.sleep(0.2)
    client.grant(stream, 1 << 20)
    last = client.wait_for(lambda frame: frame.stream == stream and frame.ends_stream)
    assert last.get("grpc-status") == "0"
    assert client.body(stream) == body


def test_X5_client_that_goes_on_sending_still_gets_the_answer(between):
    client, stream, connection, theirs = begin(between, end_stream=False)
    connection.send_headers(theirs, RESPONSE + [("grpc-status", "8")], end_stream=True)
    for _ in range(20):
        client.send_data(stream, message(b"more" * 100))
    assert client.wait_for(lambda f: f.stream == stream and f.ends_stream).get("grpc-status") == "8"
    other = client.open(end_stream=True)
    second = connection.next_request()
    connection.respond(second.stream)
    assert client.wait_for(lambda f: f.stream == other and f.ends_stream).get("grpc-status") == "0"


def test_X5_upstream_stream_is_not_left_open_after_an_early_answer(between):
    client, stream, connection, theirs = begin(between, end_stream=False)
    connection.send_headers(theirs, RESPONSE + [("grpc-status", "8")], end_stream=True)
    client.answer(stream)
    client.send_data(stream, b"", end_stream=True)
    connection.wait_for(
        lambda f: f.stream == theirs and (f.type == "RstStream" or f.ends_stream), timeout=2,
        what="end or reset of the upstream stream")


def test_T4_deadline_of_a_grpcio_client_cancels_the_backend(echo):
    _, backend, client = echo
    began = time.monotonic()
    error = client.refused(Order(delay_ms=5000), timeout=0.3)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    seen = backend.last()
    assert seen.done.wait(2)
    assert seen.ended - began < 0.6
