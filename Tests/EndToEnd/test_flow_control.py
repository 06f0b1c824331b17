"""Windows, back-pressure and head-of-line blocking (rules F)."""
import os
import socket
import threading
import time

import pytest
from hyperframe.frame import WindowUpdateFrame

from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import message
from harness.settings import configuration
from harness.stubs import Order
from harness.waiting import eventually

MIB = 1 << 20


def pump(connection, stream, stop, piece=16384):
    """Sends DATA on a stream as fast as the peer's windows allow, in a thread; returns a list with the count."""
    sent = [0]

    def run():
        while not stop.is_set() and not connection.closed:
            count = min(piece, connection.allowance(stream))
            if count <= 0:
                time.sleep(0.002)
                continue
            try:
                connection.send(connection.data_frame(stream, b"x" * count))
            except OSError:
                return
            sent[0] += count

    threading.Thread(target=run, daemon=True).start()
    return sent


def settled(counter, quiet=0.5, timeout=10):
    """Waits until a counter no longer grows, and returns it."""
    deadline = time.monotonic() + timeout
    last, since = counter[0], time.monotonic()
    while time.monotonic() - since < quiet:
        assert time.monotonic() < deadline, f"still growing: {counter[0]}"
        if counter[0] != last:
            last, since = counter[0], time.monotonic()
        time.sleep(0.02)
    return last


def test_F1_slow_reader_is_sent_no_more_than_its_window(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address, settings={0x4: 30_000}, refill=False)
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    stop = threading.Event()
    sent = pump(connection, head.stream, stop)
    amount = settled(sent)
    stop.set()
    assert len(client.body(stream)) == 30_000
    assert amount < 2 * MIB, f"the proxy took {amount} octets for a reader that took 30,000"


# What a response may have under way: at first, where a large one is expected, and once its client takes some.
FIRST, EXPECTED, LARGE = 4 * 1024, 64 * 1024, 256 * 1024


def more_than_the_connection_window(connection, each=None):
    """How many streams, each with so many octets (its first window) that wait, would fill the peer's connection window twice."""
    connection.wait_for(lambda frame: frame.type == "WindowUpdate" and frame.stream == 0)
    return 2 * (65535 + connection.granted[0]) // (each or connection.peer_initial_window) + 1


def test_F1_slow_reader_does_not_stall_streams_on_the_same_upstream_connection(moongate, upstream, connect):
    """The upstream connection's window is refilled on receipt, a stream's as its client reads."""
    server = upstream(settings={0x3: 1000})
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "limits": {"response_buffer": "1GiB"}}]))
    slow, fast = connect(proxy.address, settings={0x4: EXPECTED}, refill=False), connect(proxy.address)
    slow.open(end_stream=True)
    connection, head = server.next_request()
    for _ in range(more_than_the_connection_window(connection, LARGE - EXPECTED)):
        connection.send_headers(head.stream, RESPONSE)
        connection.send_allowed(head.stream, b"x" * LARGE)
        slow.open(end_stream=True)
        _, head = server.next_request()
    assert len(server.connections) == 1
    body = message(b"z" * 300_000)
    for _ in range(3):
        stream = fast.open(end_stream=True)
        _, head = server.next_request()
        connection.send_headers(head.stream, RESPONSE)
        connection.send_allowed(head.stream, body)
        connection.send_headers(head.stream, OK, end_stream=True)
        assert fast.end(stream).get("grpc-status") == "0"
        assert fast.body(stream) == body


def test_responses_get_large_windows_while_the_client_may_have_so_much_held(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "limits": {"response_buffer": "1MiB"}}]))
    client, other = connect(proxy.address), connect(proxy.address)

    def begun(client):
        stream = client.open(end_stream=True)
        connection, head = server.next_request()
        connection.send_headers(head.stream, RESPONSE)
        # More than a first window has, and most of what one has where a large response is expected.
        connection.send_allowed(head.stream, b"x" * 60_000)
        eventually(lambda: len(client.body(stream)) == 60_000, what="the response's beginning")
        return connection, stream, head.stream

    def window(call):
        connection, _, theirs = call
        return connection.allowance(theirs)

    calls = [begun(client) for _ in range(10)]
    # The first window, and for four of them 252 KiB more: a fifth would be beyond 1 MiB.
    eventually(lambda: sum(window(call) > FIRST for call in calls) == 4, what="four large windows")
    assert all(LARGE - 60_000 <= window(call) <= LARGE for call in calls if window(call) > FIRST)
    assert all(window(call) > 0 for call in calls)
    # Another client has its own.
    assert eventually(lambda call=begun(other): window(call) >= LARGE - 60_000, what="a large window")
    # A stream that ends gives back what it had.
    for call in calls:
        connection, stream, theirs = call
        if window(call) > FIRST:
            connection.send_headers(theirs, OK, end_stream=True)
            assert client.end(stream).get("grpc-status") == "0"
    assert eventually(lambda call=begun(client): window(call) >= LARGE - 60_000, what="a large window")


def test_a_client_may_answer_each_frame_when_all_are_out(moongate, upstream, connect):
    """Two updates for each DATA, as some clients send them, 24,000 at once: no flood of WINDOW_UPDATE."""
    server = upstream()
    client = connect(moongate(configuration(server.address)).address, settings={0x4: MIB}, refill=False)
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    connection.send_allowed(head.stream, b"x" * 60_000, piece=5)
    eventually(lambda: len(client.body(stream)) == 60_000, 20, what="the body")
    frames = sum(frame.type == "Data" for frame in client.frames)
    assert frames > 11_000, "they were put together"
    updates = WindowUpdateFrame(0, 1).serialize() + WindowUpdateFrame(stream, 1).serialize()
    client.send_raw(updates * frames)
    connection.send_headers(head.stream, OK, end_stream=True)
    assert client.end(stream).get("grpc-status") == "0"
    again = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(again).get("grpc-status") == "0"


def test_F1_slow_upstream_stalls_no_other_stream_of_that_client(moongate, upstream, connect):
    """The downstream connection's window is refilled on receipt, a stream's as its upstream reads."""
    slow, quick = upstream(settings={0x4: 0}, refill=False), upstream()
    proxy = moongate(configuration(
        upstreams={"slow": [slow.address], "quick": [quick.address]},
        routes=[{"name": "slow", "match": {"path": "/slow"}, "upstream": "slow"},
                {"name": "quick", "match": {"path": "/quick"}, "upstream": "quick"}]))
    client = connect(proxy.address)
    for _ in range(more_than_the_connection_window(client)):
        stream = client.open(request(path="/slow"))
        client.send_allowed(stream, b"x" * client.peer_initial_window)
    for _ in range(3):
        stream = client.open(request(path="/quick"))
        connection, head = quick.next_request()
        client.send_allowed(stream, b"y" * 300_000, end_stream=True)
        connection.wait_end(head.stream)
        assert len(connection.body(head.stream)) == 300_000
        connection.respond(head.stream)
        assert client.end(stream).get("grpc-status") == "0"


def test_F1_upstream_that_does_not_read_bounds_what_the_client_may_send(moongate, upstream, connect):
    server = upstream(settings={0x4: 1000}, refill=False)
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address)
    stream = client.open()
    connection, head = server.next_request()
    stop = threading.Event()
    amount = settled(pump(client, stream, stop))
    stop.set()
    assert len(connection.body(head.stream)) == 1000
    assert amount < 2 * MIB, f"the proxy took {amount} octets for an upstream that took 1,000"


def test_F1_everything_arrives_once_the_slow_reader_reads(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address, settings={0x4: 1000}, refill=False)
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    body = os.urandom(60_000)

    def answer():
        connection.send_headers(head.stream, RESPONSE)
        connection.send_allowed(head.stream, message(body), timeout=30)
        connection.send_headers(head.stream, OK, end_stream=True)

    threading.Thread(target=answer, daemon=True).start()
    while len(client.body(stream)) < len(body) + 5:
        before = len(client.body(stream))
        client.grant(stream, 7000)
        eventually(lambda: len(client.body(stream)) > before, what="more data")
    assert client.body(stream) == message(body)
    assert client.end(stream).get("grpc-status") == "0"


@pytest.mark.figures
def test_F1_memory_stays_bounded_with_many_slow_readers(moongate, backend, client):
    proxy = moongate(configuration(backend.address))
    caller = client(proxy.address)
    caller.hello()
    before = proxy.resident_bytes()
    # Python's reader takes nothing until it is asked; each backend stream could send 200 MB.
    calls = [caller.probe.ServerStream(Order(count=2000, answer_bytes=100_000), timeout=60) for _ in range(20)]
    for call in calls:
        next(call)
    time.sleep(2)
    growth = proxy.resident_bytes() - before
    assert growth < 40 * MIB, f"{growth / MIB:.1f} MiB for 20 slow readers"
    began = time.monotonic()
    assert client(proxy.address).hello()
    assert time.monotonic() - began < 2
    for call in calls:
        call.cancel()


def test_F1_grpcio_slow_reader_does_not_stall_other_calls_on_its_own_connection(echo):
    _, _, client = echo
    slow = client.probe.ServerStream(Order(count=1000, answer_bytes=50_000), timeout=60)
    next(slow)
    time.sleep(0.5)
    began = time.monotonic()
    for _ in range(20):
        assert len(client.unary(Order(answer_bytes=1000), timeout=5).payload) == 1000
    assert time.monotonic() - began < 3
    slow.cancel()


def test_F1_grpcio_slow_server_gets_everything(echo):
    _, _, client = echo
    orders = (Order(payload=b"x" * 50_000, read_delay_ms=5) for _ in range(100))
    report = client.probe.ClientStream(orders, timeout=30)
    assert report.received_bytes == 5_000_000


def test_F2_data_is_forwarded_before_the_message_is_whole(between):
    _, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    client.send_data(stream, message(b"12345678")[:3])
    assert connection.expect("Data", head.stream, timeout=1).data == message(b"12345678")[:3]
    connection.send_headers(head.stream, RESPONSE)
    connection.send_data(head.stream, message(b"abcdefgh")[:6])
    assert client.expect("Data", stream, timeout=1).data == message(b"abcdefgh")[:6]
    client.reset(stream)


@pytest.mark.figures
def test_F2_lone_message_is_forwarded_without_delay(between):
    _, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    times = []
    for number in range(50):
        seen = len(client.body(stream))
        began = time.monotonic()
        connection.send_data(head.stream, message(b"%02d" % number))
        eventually(lambda: len(client.body(stream)) > seen, interval=0.0002)
        times.append(time.monotonic() - began)
    assert sorted(times)[25] < 0.005, f"median {sorted(times)[25] * 1000:.1f} ms"
    client.reset(stream)


def test_F4_messages_in_odd_pieces_arrive_unchanged(between):
    _, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    octets = b"".join(message(os.urandom(size)) for size in (0, 1, 5, 100, 40_000))
    sizes = [1, 2, 3, 5, 7, 1000, 16384]
    position = 0
    while position < len(octets):
        size = sizes[position % len(sizes)]
        client.send_data(stream, octets[position:position + size])
        position += size
    client.send_data(stream, b"", end_stream=True)
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == octets
    connection.respond(head.stream, body=octets[:30_000])
    client.answer(stream)
    assert client.body(stream) == octets[:30_000]


@pytest.mark.parametrize("sent", [4095, 4096, 4097, 16383, 16384, 16385, 65534, 65535, 65536, 65537])
def test_F1_raw_bodies_around_the_window_size_end_with_their_trailers(moongate, upstream, connect, sent):
    """The client has the default window; trailers need none."""
    server = upstream()
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address, refill=False, window=0)
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    body = os.urandom(sent)
    connection.send_headers(head.stream, RESPONSE)
    connection.send_allowed(head.stream, body)
    connection.send_headers(head.stream, OK + [("x-end", "1")], end_stream=True)
    eventually(lambda: len(client.body(stream)) == min(sent, 65535), what="a full window")
    if sent > 65535:
        client.grant(0, 100)
        client.grant(stream, 100)
    assert client.end(stream).get("x-end") == "1"
    assert client.body(stream) == body


@pytest.mark.parametrize("size, buffer", [(3 * MIB, None), (MIB, 65536)], ids=["freely", "with small receive buffers"])
def test_F1_large_bodies_both_ways_arrive_unchanged(moongate, upstream, connect, size, buffer):
    """Much more than one write of the proxy's, on several streams at a time, to peers that take it piece by piece."""
    server = upstream()
    client = connect(moongate(configuration(server.address)).address)
    if buffer:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    bodies = [os.urandom(size + number) for number in range(3)]
    streams = [client.open() for _ in bodies]
    for stream, body in zip(streams, bodies):
        connection, head = server.next_request()
        if buffer:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.send_headers(head.stream, RESPONSE)
        client.send_allowed(stream, body, end_stream=True, timeout=20)
        connection.wait_end(head.stream, timeout=20)
        assert connection.body(head.stream) == body
    pieces = [list(range(0, len(body), 16384)) for body in bodies]
    for turn in range(max(map(len, pieces))):
        for number, body in enumerate(bodies):
            start = turn * 16384
            if start < len(body):
                connection.send_allowed(2 * number + 1, body[start:start + 16384], timeout=20)
    for number in range(3):
        connection.send_headers(2 * number + 1, OK, end_stream=True)
    for stream, body in zip(streams, bodies):
        assert client.end(stream, timeout=30).get("grpc-status") == "0"
        assert client.body(stream) == body
