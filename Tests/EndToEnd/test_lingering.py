"""What a connection said last arrives, although the client still sends: it closes only when its peer has everything."""
import contextlib
import signal
import socket
import time

import pytest

from harness.frame_client import SlowClient, request, trusting_context
from harness.frame_upstream import OK, RESPONSE
from harness.frames import INITIAL_WINDOW_SIZE, NO_ERROR, PROTOCOL_ERROR, message
from harness.settings import configuration
from harness.waiting import eventually

LARGE = bytes(range(256)) * 4096
WIDE = {INITIAL_WINDOW_SIZE: 1 << 24}


@pytest.fixture
def slow():
    """Opens clients that read slowly: `slow(address, tls=...)`."""
    opened = []

    def start(address, **options):
        made = SlowClient(address, settings=WIDE, **options)
        opened.append(made)
        return made

    yield start
    for made in opened:
        made.close()


def listener(certificate=None, **connection):
    tls = {"tls": {"certificates": [certificate.setting()]}} if certificate else {}
    return {"name": "main", "address": "127.0.0.1:0", "connection": connection, **tls}


def stop(proxy):
    proxy.signal(signal.SIGTERM)


def grow_old(proxy):
    """Its `max_age` passes."""


def take_listener_away(proxy):
    settings = dict(proxy.configuration)
    settings["listeners"] = [{"name": "other", "address": "127.0.0.1:0"}]
    proxy.configure(settings)
    proxy.reload()


def connections(proxy, name="main"):
    return proxy.metric("moongate_downstream_connections", listener=name)


def answer_at_leisure(connection, stream, body=LARGE):
    """A response as fast as the edge takes it."""
    connection.send_headers(stream, [(":status", "200"), ("content-type", "application/octet-stream")])
    connection.send_allowed(stream, body, end_stream=True, timeout=20)


@pytest.mark.parametrize("end", [stop, grow_old, take_listener_away], ids=lambda end: end.__name__)
@pytest.mark.parametrize("is_tls", [False, True], ids=["cleartext", "tls"])
def test_C4_the_last_response_arrives_whole_at_a_slow_client(moongate, upstream, slow, certificate, end, is_tls):
    server = upstream()
    made = certificate("a", ["a.example"]) if is_tls else None
    age = {"max_age": "1s"} if end is grow_old else {}
    proxy = moongate(configuration(
        server.address, listeners=[listener(made, **age)], drain={"delay": "0s", "grace": "60s"}))
    client = slow(proxy.address, **({"tls": trusting_context(), "server_name": "a.example"} if is_tls else {}))
    stream = client.open(request("/large", content_type="text/plain"), end_stream=True)
    connection, head = server.next_request()
    end(proxy)
    last = client.wait_for(lambda f: f.type == "GoAway" and f.last_stream < 2**31 - 1, 10, "second GOAWAY")
    assert last.code == NO_ERROR
    answer_at_leisure(connection, head.stream)
    client.end(stream, 30)
    assert client.body(stream) == LARGE
    client.wait_closed(5)
    client.close()
    if end is stop:
        assert proxy.wait(5) == 0


def test_a_connection_counts_until_the_client_has_its_response(moongate, upstream, slow):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[listener(max_age="1s")]))
    client = slow(proxy.address)
    stream = client.open(request("/large", content_type="text/plain"), end_stream=True)
    connection, head = server.next_request()
    client.wait_for(lambda f: f.type == "GoAway" and f.last_stream < 2**31 - 1, 10)
    client.reading.clear()
    # So little that the kernel takes all of it.
    answer_at_leisure(connection, head.stream, LARGE[:40_000])
    eventually(lambda: proxy.metric("moongate_downstream_streams", listener="main") == 0, what="the response is written")
    time.sleep(1.5)
    assert connections(proxy) == 1, "the client has not got it, however long it takes"
    client.reading.set()
    client.end(stream)
    client.wait_closed(5)
    assert client.body(stream) == LARGE[:40_000]
    # The client's side is open still: a second is enough.
    eventually(lambda: connections(proxy) == 0, 2, what="the connection ends")


def test_a_client_that_takes_nothing_is_let_go(moongate, upstream, slow):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[listener(max_age="1s")]))
    client = slow(proxy.address)
    client.open(request("/large", content_type="text/plain"), end_stream=True)
    connection, head = server.next_request()
    client.wait_for(lambda f: f.type == "GoAway" and f.last_stream < 2**31 - 1, 10)
    client.reading.clear()
    answer_at_leisure(connection, head.stream, LARGE[:40_000])
    eventually(lambda: proxy.metric("moongate_downstream_streams", listener="main") == 0, what="the response is written")
    began = time.monotonic()
    eventually(lambda: connections(proxy) == 0, 10, what="five seconds without progress are over")
    assert 4 < time.monotonic() - began < 7


def test_a_drain_waits_for_its_last_octets_until_the_grace_is_over(moongate, upstream, slow):
    server = upstream()
    proxy = moongate(configuration(server.address, drain={"delay": "0s", "grace": "2s"}))
    client = slow(proxy.address)
    client.open(request("/large", content_type="text/plain"), end_stream=True)
    connection, head = server.next_request()
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    client.wait_for(lambda f: f.type == "GoAway" and f.last_stream < 2**31 - 1, 10)
    client.reading.clear()
    answer_at_leisure(connection, head.stream, LARGE[:40_000])
    assert proxy.wait(10) == 0
    assert 1.9 < time.monotonic() - began < 4


@pytest.mark.parametrize("is_tls", [False, True], ids=["cleartext", "tls"])
def test_the_goaway_of_a_protocol_error_arrives_though_the_client_keeps_sending(
        moongate, upstream, slow, certificate, is_tls):
    server = upstream()
    made = certificate("a", ["a.example"]) if is_tls else None
    proxy = moongate(configuration(server.address, listeners=[listener(made)]))
    client = slow(
        proxy.address, pause=0, **({"tls": trusting_context(), "server_name": "a.example"} if is_tls else {}))
    stream = client.open(request("/large", content_type="text/plain"), end_stream=True)
    connection, head = server.next_request()
    client.expect("Settings")
    client.reading.clear()
    answer_at_leisure(connection, head.stream, LARGE[:300_000])
    eventually(lambda: proxy.metric("moongate_downstream_sent_bytes_total", listener="main") > 100_000, what="much is sent")
    # WINDOW_UPDATE of 0 on the connection, and more behind it.
    client.send_raw(bytes.fromhex("000004080000000000" "00000000"))
    for _ in range(20):
        with contextlib.suppress(OSError):
            client.ping()
        time.sleep(0.01)
    client.reading.set()
    last = client.wait_for(lambda f: f.type == "GoAway", 5)
    assert last.code == PROTOCOL_ERROR
    assert client.body(stream) == LARGE[:len(client.body(stream))]
    client.wait_closed(2)


def test_a_peer_that_never_stops_sending_is_gone_after_a_second(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address)
    client.expect("Settings")
    client.send_raw(bytes.fromhex("000004080000000000" "00000000"))
    assert client.wait_for(lambda f: f.type == "GoAway", 5).code == PROTOCOL_ERROR
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 5:
            client.sock.sendall(b"x" * 65536)
    assert 0.5 < time.monotonic() - began < 2.5
    eventually(lambda: connections(proxy) == 0, 1, what="the connection ends")


def test_who_is_cut_off_has_no_time(moongate, upstream, slow):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "limits": {"resets": 10}}]))
    client = slow(proxy.address)
    client.expect("Settings")
    client.reading.clear()
    with contextlib.suppress(OSError):
        for _ in range(40):
            client.reset(client.open())
    eventually(lambda: proxy.metric("moongate_downstream_abuse_total", kind="rapid_reset") == 1, what="it is cut off")
    eventually(lambda: connections(proxy) == 0, 0.5, what="the connection ends at once")


def test_what_never_was_http2_does_not_linger(moongate, upstream):
    server = upstream()
    proxy = moongate(configuration(server.address))
    host, port = proxy.address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        eventually(lambda: proxy.metric("moongate_downstream_accepted_total", listener="main") == 1, what="the connection")
        eventually(lambda: connections(proxy) == 0, 0.5, what="it ends at once")


def test_a_drain_ends_streams_whose_response_is_complete(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, drain={"delay": "0s", "grace": "1s"}))
    client = connect(proxy.address)
    stream = client.open(request("/", content_type="text/plain"))
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", "200")], end_stream=True)
    assert client.wait_for(lambda f: f.stream == stream and f.ends_stream).get(":status") == "200"
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert client.expect("RstStream", stream, timeout=5).code == NO_ERROR
    client.wait_closed(3)
    client.close()
    assert proxy.wait(5) == 0
    assert time.monotonic() - began < 3.5


def test_call_in_flight_ends_with_its_trailers_over_a_slow_connection(moongate, upstream, slow):
    server = upstream()
    proxy = moongate(configuration(server.address, drain={"delay": "0s", "grace": "60s"}))
    client = slow(proxy.address)
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    proxy.signal(signal.SIGTERM)
    client.wait_for(lambda f: f.type == "GoAway" and f.last_stream < 2**31 - 1, 10)
    connection.send_headers(head.stream, RESPONSE)
    connection.send_allowed(head.stream, message(LARGE[:600_000]), timeout=20)
    connection.send_headers(head.stream, OK, end_stream=True)
    assert client.end(stream, 30).get("grpc-status") == "0"
    assert client.body(stream) == message(LARGE[:600_000])
