"""RFC 9113 and RFC 7541, rule by rule, on the side of the clients and on that of the upstreams.

A rule's breach ends the connection (GOAWAY with the code that the RFC names, then the end) or the stream (RST_STREAM), and
nothing of it reaches the other side. After a stream's end the connection has to go on.
"""
import socket
import struct
import time

import pytest

from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    message,
)
from harness.settings import configuration

FRAME_SIZE_ERROR, COMPRESSION_ERROR = 0x6, 0x9
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8


def frame(type, flags=0, stream=0, payload=b"", length=None):
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([type, flags]) + stream.to_bytes(4, "big") + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def goes_on(client, server):
    """Another request on the same connection is served."""
    stream = client.open(request(), end_stream=True)
    while True:
        connection, head = server.next_request()
        if head.ends_stream:
            break
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


# MARK: Errors of a client's connection

FATAL = {
    "4.1 a frame beyond 16,384 octets": (frame(PING, payload=b"", length=16385), FRAME_SIZE_ERROR),
    "5.1.1 an even stream": (frame(HEADERS, END_HEADERS, 2, b"\x82"), PROTOCOL_ERROR),
    "5.1 DATA on an idle stream": (frame(DATA, 0, 5, b"x"), PROTOCOL_ERROR),
    "5.1 RST_STREAM on an idle stream": (frame(RST_STREAM, 0, 5, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "5.1 WINDOW_UPDATE on an idle stream": (frame(WINDOW_UPDATE, 0, 5, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "6.1 DATA on stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "6.2 HEADERS on stream 0": (frame(HEADERS, END_HEADERS, 0, b"\x82"), PROTOCOL_ERROR),
    "6.2 padding beyond the payload": (frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff\x82"), PROTOCOL_ERROR),
    "6.3 PRIORITY on stream 0": (frame(PRIORITY, 0, 0, b"\0\0\0\0\0"), PROTOCOL_ERROR),
    "6.3 PRIORITY of 4 octets": (frame(PRIORITY, 0, 1, b"\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.4 RST_STREAM on stream 0": (frame(RST_STREAM, 0, 0, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "6.4 RST_STREAM of 3 octets": (frame(RST_STREAM, 0, 1, b"\0\0\0"), FRAME_SIZE_ERROR),
    "6.5 SETTINGS on a stream": (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "6.5 SETTINGS of 5 octets": (frame(SETTINGS, 0, 0, b"\0\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.5 SETTINGS that acknowledge and set": (frame(SETTINGS, ACK, 0, b"\0\1\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.5.2 ENABLE_PUSH of 2": (settings((0x2, 2)), PROTOCOL_ERROR),
    "6.5.2 INITIAL_WINDOW_SIZE of 2^31": (settings((0x4, 1 << 31)), FLOW_CONTROL_ERROR),
    "6.5.2 MAX_FRAME_SIZE of 16,383": (settings((0x5, 16383)), PROTOCOL_ERROR),
    "6.5.2 MAX_FRAME_SIZE of 2^24": (settings((0x5, 1 << 24)), PROTOCOL_ERROR),
    "6.5 more settings than anybody has": (settings(*[(0x4, 65535)] * 33), ENHANCE_YOUR_CALM),
    "6.6 PUSH_PROMISE from a client": (frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82"), PROTOCOL_ERROR),
    "6.7 PING on a stream": (frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "6.7 PING of 7 octets": (frame(PING, 0, 0, b"1234567"), FRAME_SIZE_ERROR),
    "6.8 GOAWAY on a stream": (frame(GOAWAY, 0, 1, b"\0" * 8), PROTOCOL_ERROR),
    "6.8 GOAWAY of 7 octets": (frame(GOAWAY, 0, 0, b"\0" * 7), FRAME_SIZE_ERROR),
    "6.8 a last stream that rises": (
        frame(GOAWAY, 0, 0, struct.pack(">II", 2, 0)) + frame(GOAWAY, 0, 0, struct.pack(">II", 4, 0)), PROTOCOL_ERROR),
    "5.3.1 PRIORITY of an idle stream that depends on itself": (
        frame(PRIORITY, 0, 1, struct.pack(">IB", 1 | 1 << 31, 16)), PROTOCOL_ERROR),
    "6.9 WINDOW_UPDATE of 3 octets": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), FRAME_SIZE_ERROR),
    "6.9 WINDOW_UPDATE of 0": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), PROTOCOL_ERROR),
    "6.9.1 a window beyond 2^31 - 1": (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
    "6.10 CONTINUATION alone": (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL_ERROR),
    "6.10 another frame within a section": (
        frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, b"12345678"), PROTOCOL_ERROR),
    "6.10 CONTINUATION of another stream": (
        frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, END_HEADERS, 3, b"\x82"), PROTOCOL_ERROR),
    "7541 6.1 a number beyond the table": (frame(HEADERS, END_HEADERS, 1, b"\xfe"), COMPRESSION_ERROR),
    "7541 6.1 number 0": (frame(HEADERS, END_HEADERS, 1, b"\x80"), COMPRESSION_ERROR),
    "7541 5.1 an endless number": (frame(HEADERS, END_HEADERS, 1, b"\xff" + b"\x80" * 20), COMPRESSION_ERROR),
    "7541 5.2 a string beyond the block": (frame(HEADERS, END_HEADERS, 1, b"\x00\x7f\x00a"), COMPRESSION_ERROR),
    "7541 5.2 eight bits of padding": (frame(HEADERS, END_HEADERS, 1, b"\x00\x81a\xff\x00"), COMPRESSION_ERROR),
    "7541 6.3 a table larger than allowed": (frame(HEADERS, END_HEADERS, 1, b"\x3f\xe2\x1f\x82"), COMPRESSION_ERROR),
    "7541 4.2 a table resized within a block": (frame(HEADERS, END_HEADERS, 1, b"\x82\x20"), COMPRESSION_ERROR),
    "4.2 HEADERS beyond 16,384 octets": (frame(HEADERS, END_HEADERS, 1, b"", length=16385), FRAME_SIZE_ERROR),
    "4.2 DATA beyond 16,384 octets": (frame(DATA, 0, 1, b"", length=16385), FRAME_SIZE_ERROR),
    "4.3 PRIORITY within a section": (
        frame(HEADERS, 0, 1, b"\x82") + frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"), PROTOCOL_ERROR),
    "4.3 HEADERS of another stream within a section": (
        frame(HEADERS, 0, 1, b"\x82") + frame(HEADERS, END_HEADERS, 3, b"\x82"), PROTOCOL_ERROR),
    "5.1 DATA on an even stream": (frame(DATA, 0, 2, b"x"), PROTOCOL_ERROR),
    "5.1 RST_STREAM on an even stream": (frame(RST_STREAM, 0, 2, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "5.1 WINDOW_UPDATE on an even stream": (frame(WINDOW_UPDATE, 0, 2, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "5.5 an unknown frame within a section": (
        frame(HEADERS, 0, 1, b"\x82") + frame(0x16, 0, 1, b"?"), PROTOCOL_ERROR),
    "6.1 PADDED DATA without its length": (frame(DATA, PADDED, 1, b""), FRAME_SIZE_ERROR),
    "6.2 PADDED HEADERS without its length": (frame(HEADERS, END_HEADERS | PADDED, 1, b""), FRAME_SIZE_ERROR),
    "6.2 HEADERS without its priority": (frame(HEADERS, END_HEADERS | 0x20, 1, b"\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.3 PRIORITY of 6 octets": (frame(PRIORITY, 0, 1, b"\0\0\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.4 RST_STREAM of 5 octets": (frame(RST_STREAM, 0, 1, b"\0\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.5.2 INITIAL_WINDOW_SIZE of 2^32 - 1": (settings((0x4, (1 << 32) - 1)), FLOW_CONTROL_ERROR),
    "6.5.2 MAX_FRAME_SIZE of 0": (settings((0x5, 0)), PROTOCOL_ERROR),
    "6.6 PUSH_PROMISE on stream 0": (frame(PUSH_PROMISE, END_HEADERS, 0, b"\0\0\0\2\x82"), PROTOCOL_ERROR),
    "6.7 PING of 9 octets": (frame(PING, 0, 0, b"123456789"), FRAME_SIZE_ERROR),
    "6.7 PING of nothing": (frame(PING), FRAME_SIZE_ERROR),
    "6.9 WINDOW_UPDATE of 5 octets": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0\1"), FRAME_SIZE_ERROR),
    "6.9.1 several updates beyond 2^31 - 1": (
        frame(WINDOW_UPDATE, 0, 0, b"\x3f\xff\xff\xff") * 3, FLOW_CONTROL_ERROR),
    "6.10 CONTINUATION of stream 0": (
        frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, END_HEADERS, 0, b"\x82"), PROTOCOL_ERROR),
    "6.10 CONTINUATION behind a whole section": (
        frame(HEADERS, END_HEADERS, 1, b"\x82") + frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL_ERROR),
    "6.10 CONTINUATION behind the last one": (
        frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, END_HEADERS, 1, b"\x84")
        + frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL_ERROR),
    "7541 4.3 an entry that was evicted": (
        frame(HEADERS, END_HEADERS, 1, b"\x40\x01a\x01b") + frame(HEADERS, END_HEADERS, 3, b"\x20\xbe"),
        COMPRESSION_ERROR),
    "7541 5.1 a number that is cut off": (frame(HEADERS, END_HEADERS, 1, b"\xff"), COMPRESSION_ERROR),
    "7541 5.1 a number beyond 2^32": (
        frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\x7f"), COMPRESSION_ERROR),
    "7541 5.2 a string without its length": (frame(HEADERS, END_HEADERS, 1, b"\x00"), COMPRESSION_ERROR),
    "7541 5.2 the end of a string within it": (
        frame(HEADERS, END_HEADERS, 1, b"\x00\x84\xff\xff\xff\xff\x00"), COMPRESSION_ERROR),
    "7541 5.2 padding of zeros": (frame(HEADERS, END_HEADERS, 1, b"\x00\x81\x18\x00"), COMPRESSION_ERROR),
    "7541 6.2.1 a name beyond the table, to be kept": (
        frame(HEADERS, END_HEADERS, 1, b"\x7e\x01a"), COMPRESSION_ERROR),
    "7541 6.2.2 a name beyond the table": (frame(HEADERS, END_HEADERS, 1, b"\x0f\x30\x01a"), COMPRESSION_ERROR),
    "7541 6.2.3 a name beyond the table, never to be kept": (
        frame(HEADERS, END_HEADERS, 1, b"\x1f\x30\x01a"), COMPRESSION_ERROR),
    "7541 6.3 a size that is cut off": (frame(HEADERS, END_HEADERS, 1, b"\x3f"), COMPRESSION_ERROR),
}


@pytest.mark.parametrize("rule", FATAL)
def test_breach_ends_the_clients_connection_with_the_right_code(between, connect, rule):
    proxy, client, server = between
    octets, code = FATAL[rule]
    client.expect("Settings")
    client.send_raw(octets)
    assert client.expect("GoAway").code == code
    client.wait_closed()
    assert not server.heads()
    goes_on(connect(proxy.address), server)


@pytest.mark.parametrize("octets", [
    b"GET / HTTP/1.1\r\n\r\n" + b" " * 30, PREFACE[:23] + b"X" + frame(SETTINGS),
    PREFACE + frame(PING, 0, 0, b"12345678"),
], ids=["HTTP/1.1", "the last octet differs", "no SETTINGS first"])
def test_3_4_a_client_that_begins_otherwise_is_let_go(between, octets):
    proxy, _, server = between
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain:
        plain.sendall(octets)
        got = b""
        while True:
            try:
                more = plain.recv(4096)
            except ConnectionResetError:
                break
            if not more:
                break
            got += more
    assert b"\x07\x00\x00\x00\x00\x00" in got, "GOAWAY"
    assert not server.heads()


def test_5_1_frames_on_a_stream_that_the_client_has_ended_end_the_connection(between):
    _, client, server = between
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    client.answer(stream)
    client.send_raw(frame(DATA, 0, stream, b"late"))
    assert client.expect("GoAway").code == STREAM_CLOSED


@pytest.mark.parametrize("late", ["data", "headers"])
def test_5_1_frames_after_end_stream_end_the_stream(between, late):
    _, client, server = between
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    if late == "data":
        client.send_data(stream, b"late")
    else:
        client.send_headers(stream, [("x", "y")], end_stream=True)
    assert client.expect("RstStream", stream).code == STREAM_CLOSED
    assert connection.expect("RstStream", head.stream).code == CANCEL
    goes_on(client, server)


def test_5_1_1_numbers_that_go_down_end_the_connection(between):
    _, client, server = between
    client.next_stream = 7
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    client.answer(stream)
    client.send_headers(5, request(), end_stream=True)
    assert client.expect("GoAway").code in (PROTOCOL_ERROR, STREAM_CLOSED)
    assert len(server.heads()) == 1


def cut_short(client, server):
    """A stream that is reset while its client still sends: the upstream has ended the answer early."""
    stream = client.open(request())
    connection, head = server.next_request()
    connection.respond(head.stream)
    connection.reset(head.stream, NO_ERROR)
    client.expect("RstStream", stream)
    return stream


@pytest.mark.parametrize("kind", ["data", "trailers", "window", "reset"])
def test_5_4_2_frames_under_way_for_a_stream_that_we_reset_are_no_fault(between, kind):
    _, client, server = between
    stream = cut_short(client, server)
    late = {
        "data": lambda: client.send_data(stream, b"x" * 1000, end_stream=True),
        "trailers": lambda: client.send_headers(stream, [("x-late", "1")], end_stream=True),
        "window": lambda: client.grant(stream, 1000),
        "reset": lambda: client.reset(stream),
    }
    late[kind]()
    goes_on(client, server)


def test_5_1_no_more_than_its_window_comes_for_a_stream_that_we_reset(between):
    """What was under way can be no more; the connection's window would let it go on for ever."""
    _, client, server = between
    window = client.expect("Settings").settings[0x4]
    stream = cut_short(client, server)
    assert window % 16384 == 0
    client.send_raw(frame(DATA, 0, stream, b"x" * 16384) * (window // 16384))
    goes_on(client, server)
    client.send_raw(frame(DATA, 0, stream, b"x"))
    assert client.expect("GoAway").code == FLOW_CONTROL_ERROR


@pytest.mark.parametrize("octets, count", [(b"", 1001), (b"x", 10_001)], ids=["empty", "tiny"])
def test_floods_of_a_stream_that_we_reset_are_floods(between, octets, count):
    _, client, server = between
    stream = cut_short(client, server)
    client.send_raw(frame(DATA, 0, stream, octets) * (count // 10))
    goes_on(client, server)
    client.send_raw(frame(DATA, 0, stream, octets) * (count * 2))
    assert client.expect("GoAway").code == ENHANCE_YOUR_CALM


def test_6_9_1_data_beyond_the_streams_window_ends_the_stream(moongate, upstream, connect):
    server = upstream(refill=False, window=0)
    client = connect(moongate(configuration(server.address)).address)
    window = client.expect("Settings").settings[0x4]
    stream = client.open(request())
    connection, head = server.next_request()
    # The upstream takes 65,535 octets; what is passed on opens the window again, the rest fills it.
    client.send_raw(b"".join(frame(DATA, 0, stream, b"x" * 16384) for _ in range(window // 16384 + 5)))
    assert client.expect("RstStream", stream).code == FLOW_CONTROL_ERROR
    assert connection.expect("RstStream", head.stream).code == CANCEL
    goes_on(client, server)


def test_6_9_a_streams_window_beyond_the_largest_ends_the_stream(between):
    _, client, server = between
    stream = client.open(request())
    server.next_request()
    client.grant(stream, 2**31 - 1)
    assert client.expect("RstStream", stream).code == FLOW_CONTROL_ERROR
    goes_on(client, server)


def test_6_9_an_update_of_0_ends_the_stream(between):
    _, client, server = between
    stream = client.open(request())
    server.next_request()
    client.send_raw(frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\0"))
    assert client.expect("RstStream", stream).code == PROTOCOL_ERROR
    goes_on(client, server)


def test_6_9_2_windows_that_a_setting_makes_too_large_end_the_connection(between):
    _, client, server = between
    stream = client.open(request())
    server.next_request()
    client.grant(stream, 2**31 - 1 - 65535)
    client.change_settings({0x4: 65536})
    assert client.expect("GoAway").code == FLOW_CONTROL_ERROR


@pytest.mark.parametrize("octets", [
    frame(0x16, 0xff, 0, b"unknown"), frame(0x16, 0, 9, b""), settings((0xff00, 7)), frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
    frame(SETTINGS, ACK), frame(PING, ACK, 0, b"12345678"), settings((0x1, 0)), settings((0x1, 1 << 31)),
    frame(PING, 0xfe, 0, b"12345678"), frame(PING, 0, 1 << 31, b"12345678"),
    settings((0x2, 1)), settings((0x5, 1 << 20)), settings((0x6, 8192)), settings((0x4, 1), (0x4, 65535)), settings((0x3, 0)),
    frame(PRIORITY, 0, 2, b"\0\0\0\0\x10"),
], ids=["unknown type", "unknown type on a stream", "unknown setting", "PRIORITY", "ACK", "PING ACK", "no table", "a large table",
        "unknown flags", "the reserved bit", "push is allowed", "larger frames", "few headers", "a setting twice", "no streams of ours", "PRIORITY of an even stream"])
def test_5_5_what_is_unknown_or_harmless_is_passed_over(between, octets):
    _, client, server = between
    client.send_raw(octets)
    for _ in range(3):
        goes_on(client, server)


def test_6_2_padding_and_priority_of_headers_are_taken_off(between):
    _, client, server = between
    stream = client.new_stream()
    block = client.encoder.encode(request())
    client.send_raw(frame(HEADERS, END_HEADERS | END_STREAM | PADDED | 0x20, stream,
                          bytes([7]) + b"\0\0\0\0\x0f" + block + b"\0" * 7))
    connection, head = server.next_request()
    assert head.get(":path") == "/moongate.test.Probe/Unary"
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 9, 10, 23, 24, 25, 50])
def test_4_1_frames_in_pieces_of_any_size_are_read(between, connect, cut):
    """One write for each piece: the proxy sees every cut there can be."""
    proxy, _, server = between
    client = connect(proxy.address)
    client.expect("Settings")               # it is acknowledged before it is shown: nothing else is sent meanwhile
    block = client.encoder.encode(request())
    octets = (frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, PADDED, 1, b"\x05" + message(b"hello") + b"\0" * 5)
              + frame(PING, 0, 0, b"12345678") + frame(DATA, END_STREAM, 1))
    for start in range(0, len(octets), cut):
        client.send_raw(octets[start:start + cut])
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == message(b"hello")
    connection.respond(head.stream)
    assert client.end(1).get("grpc-status") == "0"


# MARK: Malformed messages

MALFORMED = {
    "8.2.1 upper case": request(extra=[("X-Upper", "1")]),
    "8.2.1 a blank in a name": request(extra=[("x y", "1")]),
    "8.2.1 a line end in a value": request(extra=[("x", "a\r\nb: c")]),
    "8.2.1 a zero in a value": request(extra=[("x", "a\0b")]),
    "8.2.1 a blank before a value": request(extra=[("x", " a")]),
    "8.2.1 a blank behind a value": request(extra=[("x", "a ")]),
    "8.2.1 an empty name": request(extra=[("", "a")]),
    "8.2.2 connection": request(extra=[("connection", "close")]),
    "8.2.2 te without trailers": request(extra=[("te", "gzip, trailers")]),
    "8.3 a pseudo-header behind others": request(path="")[:-2] + [("x", "y"), (":path", "/")],
    "8.3 an unknown pseudo-header": [(":unknown", "x")] + request(),
    "8.3 a response's pseudo-header": [(":status", "200")] + request(),
    "8.3.1 no method": request(method=""),
    "8.3.1 no scheme": [pair for pair in request() if pair[0] != ":scheme"],
    "8.3.1 no path": request(path=""),
    "8.3.1 two paths": [(":path", "/a")] + request(),
    "8.3.1 two methods": [(":method", "GET")] + request(),
    "8.3.1 two authorities": [(":authority", "a")] + request(),
    "8.3.1 a blank in the path": request(path="/a b"),
    "8.3.1 a line end in the authority": request(authority="a\r\nb"),
    "8.3.1 a method that is no token": request(method="GET /"),
    "8.2.1 a line feed in a value": request(extra=[("x", "a\nb")]),
    "8.2.1 a carriage return in a value": request(extra=[("x", "a\rb")]),
    "8.2.1 DEL in a value": request(extra=[("x", "a\x7fb")]),
    "8.2.1 a tab before a value": request(extra=[("x", "\ta")]),
    "8.2.1 a colon in a name": request(extra=[("x:y", "1")]),
    "8.2.1 a zero in a name": request(extra=[("x\0", "1")]),
    "8.2.1 a line end in a name": request(extra=[("x\r\ny", "1")]),
    "8.2.1 an octet beyond ASCII in a name": request(extra=[("x\xe9", "1")]),
    "8.2.2 keep-alive": request(extra=[("keep-alive", "1")]),
    "8.2.2 proxy-connection": request(extra=[("proxy-connection", "close")]),
    "8.2.2 transfer-encoding": request(extra=[("transfer-encoding", "chunked")]),
    "8.2.2 upgrade": request(extra=[("upgrade", "h2c")]),
    "8.2.2 te with a weight": request(extra=[("te", "trailers;q=0.5")])[:-2] + [("te", "trailers;q=0.5")],
    "8.3 a pseudo-header with upper case": [(":Path", "/")] + request(),
    "8.3.1 two schemes": [(":scheme", "http")] + request(),
    "8.3.1 a path of nothing": [(name, "" if name == ":path" else value) for name, value in request()],
    "8.3.1 a path with a line end": request(path="/a\r\nb"),
    "8.3.1 a path with a zero": request(path="/a\0b"),
    "8.3.1 a method of nothing": [(name, "" if name == ":method" else value) for name, value in request()],
    "8.3.1 a scheme of nothing": [(name, "" if name == ":scheme" else value) for name, value in request()],
    "8.3.1 neither authority nor host": [pair for pair in request() if pair[0] != ":authority"],
    "8.5 CONNECT with a path": request(method="CONNECT"),
    "9112 3.2 two hosts": request(extra=[("host", "test.example"), ("host", "test.example")]),
    "9110 8.6 a list of lengths": request(extra=[("content-length", "1, 1")]),
    "9110 8.6 a negative length": request(extra=[("content-length", "-1")]),
    "9110 8.6 a length of nothing": request(extra=[("content-length", "")]),
    "8.1.1 a length and no body": request(extra=[("content-length", "1")]),
    "9110 8.6 two lengths": request(extra=[("content-length", "1"), ("content-length", "1")]),
    "9110 8.6 a length that is no number": request(extra=[("content-length", "+5")]),
}


@pytest.mark.parametrize("rule", MALFORMED)
def test_malformed_requests_end_their_stream_and_reach_nobody(between, rule):
    _, client, server = between
    stream = client.open(MALFORMED[rule], end_stream=True)
    assert client.end(stream).code == PROTOCOL_ERROR
    assert not server.heads()
    goes_on(client, server)


@pytest.mark.parametrize("trailers, ends", [
    ([(":path", "/")], True), ([("x", "y")], False), ([("X", "y")], True), ([("connection", "close")], True),
    ([(":status", "200")], True), ([("x", "a\r\nb")], True), ([("host", "other")], True), ([("content-length", "5")], True),
    ([("transfer-encoding", "chunked")], True), ([("", "x")], True),
], ids=["a pseudo-header", "no END_STREAM", "upper case", "connection", "a response's pseudo-header", "a line end", "host",
        "content-length", "transfer-encoding", "an empty name"])
def test_8_1_malformed_trailers_end_the_stream(between, trailers, ends):
    _, client, server = between
    stream = client.open(request())
    connection, head = server.next_request()
    client.send_headers(stream, trailers, end_stream=ends)
    assert client.expect("RstStream", stream).code == PROTOCOL_ERROR
    assert connection.expect("RstStream", head.stream).code == CANCEL
    goes_on(client, server)


@pytest.mark.parametrize("length, parts", [(3, [b"12345"]), (3, [b"12", b"34"]), (9, [b"12345"]), (9, [b"1", b"2"])])
def test_8_1_1_a_body_that_is_not_as_long_as_its_length_ends_the_stream(between, length, parts):
    _, client, server = between
    stream = client.open(request(extra=[("content-length", str(length))]))
    connection, head = server.next_request()
    for number, part in enumerate(parts):
        client.send_data(stream, part, end_stream=number == len(parts) - 1)
    assert client.expect("RstStream", stream).code == PROTOCOL_ERROR
    assert connection.expect("RstStream", head.stream).code == CANCEL
    assert not [f for f in connection.of_stream(head.stream) if f.ends_stream], "no end that could be taken for a whole"
    goes_on(client, server)


def test_8_1_1_a_body_as_long_as_its_length_is_fine(between):
    _, client, server = between
    stream = client.open(request(extra=[("content-length", "5")]))
    connection, head = server.next_request()
    client.send_data(stream, b"12", padding=7)
    client.send_data(stream, b"345", end_stream=True)
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == b"12345"
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


@pytest.mark.parametrize("payload", [b"\x05ab", b"\x01", b"\xff" + b"x" * 254], ids=["more", "all", "one too many"])
def test_6_1_padding_beyond_the_payload_ends_the_connection(between, payload):
    _, client, server = between
    stream = client.open(request())
    server.next_request()
    client.send_raw(frame(DATA, PADDED, stream, payload))
    assert client.expect("GoAway").code == PROTOCOL_ERROR


@pytest.mark.parametrize("late", ["data", "headers"])
def test_5_1_frames_on_a_stream_that_the_client_has_reset_end_the_connection(between, late):
    _, client, server = between
    stream = client.open(request())
    server.next_request()
    client.reset(stream)
    if late == "data":
        client.send_data(stream, b"late")
    else:
        client.send_headers(stream, [("x", "y")], end_stream=True)
    assert client.expect("GoAway").code == STREAM_CLOSED


def test_5_1_2_streams_beyond_the_limit_are_refused(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "max_concurrent_streams": 2}]))
    client = connect(proxy.address)
    assert client.expect("Settings").settings[0x3] == 2
    first, _, third = client.open(request()), client.open(request()), client.open(request())
    assert client.expect("RstStream", third).code == 0x7
    connection, head = server.next_request()
    connection.respond(head.stream)
    client.answer(first)
    client.send_data(first, b"", end_stream=True)
    goes_on(client, server)


def test_6_7_a_ping_is_answered_with_its_payload_and_an_answer_is_not(between):
    _, client, server = between
    client.send_raw(frame(PING, ACK, 0, b"unasked.") + frame(PING, 0, 0, b"\0\1\2\3\4\5\6\7"))
    answer = client.wait_for(lambda f: f.type == "Ping" and "ACK" in f.flags)
    assert answer.data == b"\0\1\2\3\4\5\6\7"
    goes_on(client, server)
    assert len([f for f in client.frames if f.type == "Ping"]) == 1


def test_6_5_3_each_settings_frame_is_acknowledged(between):
    _, client, server = between
    client.expect("Settings")
    client.send_raw(settings((0x4, 70000)) + settings() + settings((0x4, 80000)))
    goes_on(client, server)
    assert len([f for f in client.frames if f.type == "Settings" and "ACK" in f.flags]) == 4, "and the first one"


def test_6_8_streams_of_a_client_that_says_goodbye_are_served(between):
    _, client, server = between
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    client.go_away(0, 0xdead)
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    client.wait_closed()


def test_6_9_1_a_window_of_one_octet_is_kept_to(moongate, upstream, connect):
    server = upstream()
    client = connect(moongate(configuration(server.address)).address, settings={0x4: 1}, refill=False)
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream, body=b"abc")
    for count in (1, 2, 3):
        client.wait_for(lambda f, count=count: len(client.body(stream)) == count)
        assert client.body(stream) == b"abc"[:count]
        client.grant(stream, 1)
    assert client.end(stream).get("grpc-status") == "0"


def test_6_9_2_a_window_that_a_setting_makes_negative_is_kept_to(moongate, upstream, connect):
    server = upstream()
    client = connect(moongate(configuration(server.address)).address, settings={0x4: 3}, refill=False)
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    connection.send_data(head.stream, b"abcdefgh")
    client.wait_for(lambda f: client.body(stream) == b"abc")
    client.change_settings({0x4: 1})                   # now it is -2
    client.grant(stream, 2)
    client.ping()
    client.wait_for(lambda f: f.type == "Ping" and "ACK" in f.flags)
    assert client.body(stream) == b"abc"
    client.grant(stream, 1)
    client.wait_for(lambda f: client.body(stream) == b"abcd")
    client.change_settings({0x4: 100})
    client.wait_for(lambda f: client.body(stream) == b"abcdefgh")


# MARK: Upstreams

@pytest.fixture
def asked(between):
    """A request under way: client, its stream, the upstream's connection and stream there."""
    _, client, server = between
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    return client, stream, connection, head.stream, server


UPSTREAM_FATAL = {
    "4.1 a frame beyond 16,384 octets": (lambda s: frame(DATA, 0, s, b"", length=16385), FRAME_SIZE_ERROR),
    "5.1 HEADERS on an idle stream": (lambda s: frame(HEADERS, END_HEADERS, s + 2, b"\x88"), PROTOCOL_ERROR),
    "5.1 DATA on an idle stream": (lambda s: frame(DATA, 0, s + 2, b"x"), PROTOCOL_ERROR),
    "5.1 a stream of the server's": (lambda s: frame(HEADERS, END_HEADERS, 2, b"\x88"), PROTOCOL_ERROR),
    "6.5.2 ENABLE_PUSH of 1": (lambda s: settings((0x2, 1)), PROTOCOL_ERROR),
    "6.6 PUSH_PROMISE": (lambda s: frame(PUSH_PROMISE, END_HEADERS, s, b"\0\0\0\2\x82"), PROTOCOL_ERROR),
    "6.9 WINDOW_UPDATE of 0": (lambda s: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), PROTOCOL_ERROR),
    "6.10 a section interrupted": (
        lambda s: frame(HEADERS, 0, s, b"\x88") + frame(DATA, 0, s, b"x"), PROTOCOL_ERROR),
    "7541 a number beyond the table": (lambda s: frame(HEADERS, END_HEADERS, s, b"\xfe"), COMPRESSION_ERROR),
    "4.1 HEADERS beyond 16,384 octets": (lambda s: frame(HEADERS, 0, s, b"", length=16385), FRAME_SIZE_ERROR),
    "5.1 RST_STREAM on an idle stream": (lambda s: frame(RST_STREAM, 0, s + 2, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "5.1 WINDOW_UPDATE on an idle stream": (lambda s: frame(WINDOW_UPDATE, 0, s + 2, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "5.1 DATA on a stream of the server's": (lambda s: frame(DATA, 0, 2, b"x"), PROTOCOL_ERROR),
    "6.1 DATA on stream 0": (lambda s: frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "6.1 padding beyond the payload": (
        lambda s: frame(DATA, PADDED, s, b"\x05ab"), PROTOCOL_ERROR),
    "6.1 PADDED DATA without its length": (lambda s: frame(DATA, PADDED, s), FRAME_SIZE_ERROR),
    "6.2 HEADERS on stream 0": (lambda s: frame(HEADERS, END_HEADERS, 0, b"\x88"), PROTOCOL_ERROR),
    "6.2 padding beyond the section": (lambda s: frame(HEADERS, END_HEADERS | PADDED, s, b"\xff\x88"), PROTOCOL_ERROR),
    "6.3 PRIORITY on stream 0": (lambda s: frame(PRIORITY, 0, 0, b"\0\0\0\0\0"), PROTOCOL_ERROR),
    "6.3 PRIORITY of 4 octets": (lambda s: frame(PRIORITY, 0, s, b"\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.4 RST_STREAM on stream 0": (lambda s: frame(RST_STREAM, 0, 0, b"\0\0\0\x08"), PROTOCOL_ERROR),
    "6.4 RST_STREAM of 3 octets": (lambda s: frame(RST_STREAM, 0, s, b"\0\0\0"), FRAME_SIZE_ERROR),
    "6.5 SETTINGS on a stream": (lambda s: frame(SETTINGS, 0, s), PROTOCOL_ERROR),
    "6.5 SETTINGS of 5 octets": (lambda s: frame(SETTINGS, 0, 0, b"\0\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.5 SETTINGS that acknowledge and set": (lambda s: frame(SETTINGS, ACK, 0, b"\0\1\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.5.2 INITIAL_WINDOW_SIZE of 2^31": (lambda s: settings((0x4, 1 << 31)), FLOW_CONTROL_ERROR),
    "6.5.2 MAX_FRAME_SIZE of 16,383": (lambda s: settings((0x5, 16383)), PROTOCOL_ERROR),
    "6.5.2 MAX_FRAME_SIZE of 2^24": (lambda s: settings((0x5, 1 << 24)), PROTOCOL_ERROR),
    "6.5 more settings than anybody has": (lambda s: settings(*[(0x4, 65535)] * 33), ENHANCE_YOUR_CALM),
    "6.7 PING on a stream": (lambda s: frame(PING, 0, s, b"12345678"), PROTOCOL_ERROR),
    "6.7 PING of 7 octets": (lambda s: frame(PING, 0, 0, b"1234567"), FRAME_SIZE_ERROR),
    "6.8 GOAWAY on a stream": (lambda s: frame(GOAWAY, 0, s, b"\0" * 8), PROTOCOL_ERROR),
    "6.8 GOAWAY of 7 octets": (lambda s: frame(GOAWAY, 0, 0, b"\0" * 7), FRAME_SIZE_ERROR),
    "6.8 a last stream that rises": (
        lambda s: frame(GOAWAY, 0, 0, struct.pack(">II", s, 0)) + frame(GOAWAY, 0, 0, struct.pack(">II", s + 2, 0)),
        PROTOCOL_ERROR),
    "5.3.1 PRIORITY of an idle stream that depends on itself": (
        lambda s: frame(PRIORITY, 0, s + 2, struct.pack(">IB", s + 2, 16)), PROTOCOL_ERROR),
    "6.9 WINDOW_UPDATE of 3 octets": (lambda s: frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), FRAME_SIZE_ERROR),
    "6.9.1 a window beyond 2^31 - 1": (lambda s: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
    "6.9.2 windows that a setting makes too large": (
        lambda s: frame(WINDOW_UPDATE, 0, s, b"\x7f\0\0\0") + settings((0x4, 0x7fffffff)), FLOW_CONTROL_ERROR),
    "6.10 CONTINUATION alone": (lambda s: frame(CONTINUATION, END_HEADERS, s, b"\x88"), PROTOCOL_ERROR),
    "6.10 CONTINUATION of another stream": (
        lambda s: frame(HEADERS, 0, s, b"\x88") + frame(CONTINUATION, END_HEADERS, s + 2, b"\x88"), PROTOCOL_ERROR),
    "7541 6.1 number 0": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x80"), COMPRESSION_ERROR),
    "7541 5.2 eight bits of padding": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x00\x81a\xff\x00"), COMPRESSION_ERROR),
    "7541 5.2 the end of a string within it": (
        lambda s: frame(HEADERS, END_HEADERS, s, b"\x00\x84\xff\xff\xff\xff\x00"), COMPRESSION_ERROR),
    "7541 5.1 an endless number": (
        lambda s: frame(HEADERS, END_HEADERS, s, b"\xff" + b"\x80" * 20), COMPRESSION_ERROR),
    "7541 6.3 a table larger than allowed": (
        lambda s: frame(HEADERS, END_HEADERS, s, b"\x3f\xe2\x1f\x88"), COMPRESSION_ERROR),
    "7541 4.2 a table resized within a block": (
        lambda s: frame(HEADERS, END_HEADERS, s, b"\x88\x20"), COMPRESSION_ERROR),
}


@pytest.mark.parametrize("rule", UPSTREAM_FATAL)
def test_breach_ends_the_upstreams_connection_and_fails_the_call(asked, rule):
    client, stream, connection, theirs, server = asked
    make, code = UPSTREAM_FATAL[rule]
    connection.send_raw(make(theirs))
    assert connection.expect("GoAway").code == code
    connection.wait_closed()
    assert client.end(stream).get("grpc-status") == "14"
    goes_on(client, server)


def headers(*fields, ends=False):
    return lambda connection, stream: connection.send_headers(stream, list(fields), end_stream=ends)


UPSTREAM_MALFORMED = {
    "8.1 DATA before HEADERS": lambda connection, stream: connection.send_data(stream, b"x"),
    "8.3.2 no status": headers(("content-type", "application/grpc")),
    "8.3.2 two statuses": headers((":status", "200"), (":status", "200")),
    "8.3.2 a status of two digits": headers((":status", "20")),
    "8.3 a request's pseudo-header": headers((":status", "200"), (":path", "/")),
    "8.2.1 upper case": headers((":status", "200"), ("X-Upper", "1")),
    "8.2.1 a line end": headers((":status", "200"), ("x", "a\nb")),
    "8.2.2 transfer-encoding": headers((":status", "200"), ("transfer-encoding", "chunked")),
    "8.6 switching protocols": headers((":status", "101")),
    "8.1 an interim head that ends the stream": headers((":status", "103"), ends=True),
    "8.1.1 a length and no body": headers((":status", "200"), ("content-length", "5"), ends=True),
    "8.3.2 a status of four digits": headers((":status", "2000")),
    "8.3.2 a status above 599": headers((":status", "600")),
    "8.3.2 a status of 999": headers((":status", "999")),
    "8.3.2 a status of letters": headers((":status", "2xx")),
    "8.3.2 a status below 100": headers((":status", "099")),
    "8.3.2 a status of nothing": headers((":status", "")),
    "8.3 a status behind other fields": headers(("x", "y"), (":status", "200")),
    "8.3 an unknown pseudo-header": headers((":status", "200"), (":unknown", "x")),
    "8.2.1 a zero": headers((":status", "200"), ("x", "a\0b")),
    "8.2.1 a carriage return": headers((":status", "200"), ("x", "a\rb")),
    "8.2.1 a blank before a value": headers((":status", "200"), ("x", " a")),
    "8.2.1 an empty name": headers((":status", "200"), ("", "a")),
    "8.2.1 a blank in a name": headers((":status", "200"), ("x y", "a")),
    "8.2.2 connection": headers((":status", "200"), ("connection", "close")),
    "8.2.2 upgrade": headers((":status", "200"), ("upgrade", "h2c")),
    "9110 8.6 two lengths": headers((":status", "200"), ("content-length", "5"), ("content-length", "5")),
    "9110 8.6 a length that is no number": headers((":status", "200"), ("content-length", "5x")),
    "9110 8.6 a length of a 204": headers((":status", "204"), ("content-length", "5"), ends=True),
    "9110 15.3.6 a length of a 205": headers((":status", "205"), ("content-length", "5"), ends=True),
    "9110 8.6 a length of an interim head": headers((":status", "103"), ("content-length", "0")),
}


@pytest.mark.parametrize("rule", UPSTREAM_MALFORMED)
def test_malformed_responses_fail_their_call_alone(asked, rule):
    client, stream, connection, theirs, server = asked
    UPSTREAM_MALFORMED[rule](connection, theirs)
    assert connection.expect("RstStream", theirs).code == PROTOCOL_ERROR
    end = client.end(stream)
    assert end.get("grpc-status") == "13" and end.get(":status") == "200"
    assert len(server.connections) == 1
    goes_on(client, server)
    assert len(server.connections) == 1, "the upstream's connection goes on"


def test_8_1_1_a_response_longer_than_its_length_is_not_passed_on_as_whole(asked):
    client, stream, connection, theirs, server = asked
    connection.send_headers(theirs, [(":status", "200"), ("content-type", "text/plain"), ("content-length", "3")])
    connection.send_data(theirs, b"longer", end_stream=True)
    assert connection.expect("RstStream", theirs).code == PROTOCOL_ERROR
    assert client.end(stream).get("grpc-status") == "13"
    goes_on(client, server)


@pytest.mark.parametrize("trailers, ends", [
    ([(":status", "200"), ("grpc-status", "0")], True), ([("grpc-status", "0")], False), ([("X", "y")], True),
    ([("grpc-message", "a\r\nb")], True), ([("connection", "close")], True), ([(":path", "/")], True),
    ([("grpc-status", "0"), ("content-length", "0")], True),
], ids=["a second status", "no END_STREAM", "upper case", "a line end", "connection", "a request's pseudo-header",
        "content-length"])
def test_8_1_malformed_trailers_of_a_response_fail_their_call_alone(asked, trailers, ends):
    client, stream, connection, theirs, server = asked
    connection.send_headers(theirs, RESPONSE)
    connection.send_data(theirs, message(b"whole"))
    connection.send_headers(theirs, trailers, end_stream=ends)
    assert connection.expect("RstStream", theirs).code == PROTOCOL_ERROR
    assert client.end(stream).get("grpc-status") == "13"
    goes_on(client, server)
    assert len(server.connections) == 1


@pytest.mark.parametrize("late", ["data", "headers"])
def test_5_1_frames_after_end_stream_of_an_upstream_end_the_stream(between, late):
    _, client, server = between
    stream = client.open(request())
    connection, head = server.next_request()
    end = connection.headers_frames(head.stream, RESPONSE + OK, end_stream=True)
    more = {"data": [connection.data_frame(head.stream, b"late")],
            "headers": connection.headers_frames(head.stream, OK, end_stream=True)}[late]
    connection.send(*end, *more)
    assert client.end(stream).get("grpc-status") == "0", "the answer was whole"
    goes_on(client, server)


def test_5_1_no_more_than_its_window_comes_for_a_call_that_was_given_up(asked):
    client, stream, connection, theirs, server = asked
    window = connection.expect("Settings").settings[0x4]
    client.reset(stream)
    assert connection.expect("RstStream", theirs).code == CANCEL
    connection.send_headers(theirs, RESPONSE)
    connection.send_raw(frame(DATA, 0, theirs, b"x" * window))
    goes_on(client, server)
    connection.send_raw(frame(DATA, 0, theirs, b"x"))
    assert connection.expect("GoAway").code == FLOW_CONTROL_ERROR
    goes_on(client, server)


@pytest.mark.parametrize("increment, code", [(0, PROTOCOL_ERROR), (2**31 - 1, FLOW_CONTROL_ERROR)])
def test_6_9_a_wrong_update_of_a_stream_by_an_upstream_fails_its_call_alone(asked, increment, code):
    client, stream, connection, theirs, server = asked
    connection.send_raw(frame(WINDOW_UPDATE, 0, theirs, increment.to_bytes(4, "big")))
    assert connection.expect("RstStream", theirs).code == code
    assert client.end(stream).get("grpc-status") == "13"
    goes_on(client, server)
    assert len(server.connections) == 1


def test_6_9_1_data_of_an_upstream_beyond_the_streams_window_fails_its_call_alone(moongate, upstream, connect):
    server = upstream()
    client = connect(moongate(configuration(server.address)).address, settings={0x4: 0}, refill=False)
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    window = connection.expect("Settings").settings[0x4]
    connection.send_headers(head.stream, RESPONSE)
    connection.send_raw(frame(DATA, 0, head.stream, b"x" * 16384) * (window // 16384 + 1))
    assert connection.expect("RstStream", head.stream).code == FLOW_CONTROL_ERROR
    client.change_settings({0x4: 1 << 20})
    client.end(stream)
    goes_on(client, server)
    assert len(server.connections) == 1


@pytest.mark.parametrize("octets", [
    frame(PING, 0, 0, b"12345678"), frame(HEADERS, END_HEADERS, 1, b"\x88"), frame(GOAWAY, 0, 0, b"\0" * 8),
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
], ids=["PING", "HEADERS", "GOAWAY", "HTTP/1.1"])
def test_3_4_an_upstream_that_does_not_begin_with_settings_is_no_http2_server(moongate, upstream, connect, octets):
    server = upstream(greet=False)
    client = connect(moongate(configuration(server.address)).address)
    stream = client.open(request(), end_stream=True)
    connection, _ = server.next_request()
    connection.send_raw(octets)
    connection.wait_closed()
    assert client.end(stream).get("grpc-status") == "14"


@pytest.mark.parametrize("octets", [
    frame(0x16, 0xff, 0, b"unknown"), settings((0xff00, 7)), frame(PRIORITY, 0, 1, b"\0\0\0\3\x10"), frame(SETTINGS, ACK),
    frame(PING, ACK, 0, b"12345678"), settings((0x1, 0)), settings((0x5, 1 << 20)), settings((0x6, 8192)), settings((0x2, 0)),
], ids=["unknown type", "unknown setting", "PRIORITY", "ACK", "PING ACK", "no table", "larger frames", "few headers", "no push"])
def test_5_5_what_is_unknown_or_harmless_from_an_upstream_is_passed_over(asked, octets):
    client, stream, connection, theirs, server = asked
    connection.send_raw(octets)
    connection.respond(theirs)
    assert client.end(stream).get("grpc-status") == "0"
    goes_on(client, server)
    assert len(server.connections) == 1


@pytest.mark.parametrize("kind", ["PRIORITY", "HEADERS", "trailers"])
def test_5_3_1_a_stream_that_depends_on_itself_is_reset_alone(between, kind):
    _, client, server = between
    if kind == "HEADERS":
        stream = client.new_stream()
        block = client.encoder.encode(request(extra=[("x-kept", "in the table")]))
        client.send_raw(frame(HEADERS, END_HEADERS | 0x20, stream, struct.pack(">IB", stream | 1 << 31, 16) + block))
    else:
        stream = client.open(request())
        server.next_request()
        octets = struct.pack(">IB", stream, 16)
        client.send_raw(frame(PRIORITY, 0, stream, octets) if kind == "PRIORITY" else
                        frame(HEADERS, END_HEADERS | END_STREAM | 0x20, stream, octets + client.encoder.encode([("a", "b")])))
    assert client.expect("RstStream", stream).code == PROTOCOL_ERROR
    goes_on(client, server)


@pytest.mark.parametrize("method, status", [("HEAD", "200"), ("GET", "204"), ("GET", "205"), ("GET", "304")])
@pytest.mark.parametrize("length", [None, "5"])
def test_R10_9110_6_4_octets_of_a_body_where_there_is_none_are_malformed(between, method, status, length):
    _, client, server = between
    stream = client.open(request(method=method, content_type=""), end_stream=True)
    connection, head = server.next_request()
    fields = [(":status", status), ("content-type", "text/plain")] + ([("content-length", length)] if length else [])
    connection.send_headers(head.stream, fields)
    connection.send_data(head.stream, b"12345", end_stream=True)
    assert connection.expect("RstStream", head.stream).code == PROTOCOL_ERROR
    end = client.end(stream)
    # What the head says may be refused as well, and the answer is the edge's own then.
    is_ours = client.expect("Headers", stream).get(":status") == "502"
    assert is_ours or (end.type == "RstStream" and client.body(stream) == b"")
    goes_on(client, server)
    assert len(server.connections) == 1


@pytest.mark.parametrize("method, status", [("HEAD", "200"), ("GET", "204"), ("GET", "205"), ("GET", "304")])
def test_9110_6_4_an_empty_frame_may_end_what_has_no_body(between, method, status):
    _, client, server = between
    stream = client.open(request(method=method, content_type=""), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", status), ("x-a", "1")])
    connection.send_data(head.stream, b"", end_stream=True)
    assert client.end(stream).type in ("Data", "Headers") and client.body(stream) == b""
    assert client.expect("Headers", stream).get(":status") == status


def never_indexed(fields):
    """RFC 7541 §6.2.3, with new names: encoders that have a field in the static table make no such literals of it."""
    texts = [[text.encode() for text in pair] for pair in fields]
    return b"".join(b"\x10" + b"".join(bytes([len(text)]) + text for text in pair) for pair in texts)


def test_R15_7541_7_1_3_what_came_never_indexed_leaves_never_indexed(between):
    _, client, server = between
    stream = client.new_stream()
    fields = request(extra=[("x-token", "secret")])
    client.send_raw(frame(HEADERS, END_HEADERS | END_STREAM, stream, never_indexed(fields)))
    connection, head = server.next_request()
    assert dict(head.headers).items() >= dict(fields).items()
    assert head.never_indexed >= {name for name, _ in fields}
    for name in ":method", ":scheme", ":path", ":authority":
        assert name in head.never_indexed
    connection.send_raw(frame(HEADERS, END_HEADERS, head.stream, never_indexed(RESPONSE)))
    connection.send_raw(frame(HEADERS, END_HEADERS | END_STREAM, head.stream, never_indexed(OK[:1])))
    assert client.end(stream).never_indexed == {"grpc-status"}
    assert client.expect("Headers", stream).never_indexed == {":status", "content-type"}


@pytest.mark.parametrize("status", ["204", "205"])
def test_9110_8_6_a_length_of_nothing_is_borne(between, status):
    _, client, server = between
    stream = client.open(request(method="GET", content_type=""), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", status), ("content-length", "0")], end_stream=True)
    assert client.end(stream).get(":status") == status


@pytest.mark.parametrize("status", ["304", "200"])
def test_9110_8_6_a_length_without_a_body_is_right_where_there_is_none(between, status):
    _, client, server = between
    stream = client.open(request(method="HEAD" if status == "200" else "GET", content_type=""), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", status), ("content-length", "1234")], end_stream=True)
    end = client.end(stream)
    assert (end.get(":status"), end.get("content-length")) == (status, "1234")


def test_5_1_frames_for_a_call_that_was_given_up_are_no_fault(asked):
    client, stream, connection, theirs, server = asked
    client.reset(stream)
    assert connection.expect("RstStream", theirs).code == CANCEL
    connection.send_headers(theirs, RESPONSE)
    connection.send_data(theirs, message(b"late"))
    connection.send_headers(theirs, OK, end_stream=True)
    goes_on(client, server)
    assert len(server.connections) == 1


def test_8_1_frames_after_the_end_of_a_response_end_the_upstreams_connection(asked):
    client, stream, connection, theirs, server = asked
    connection.respond(theirs)
    client.answer(stream)
    connection.send_data(theirs, b"more")
    assert connection.expect("GoAway").code == STREAM_CLOSED
    goes_on(client, server)


# MARK: Floods

@pytest.mark.figures
@pytest.mark.parametrize("octets", [frame(PING, 0, 0, b"12345678"), frame(SETTINGS)], ids=["PING", "SETTINGS"])
def test_a_client_that_asks_and_does_not_read_is_cut_off(between, connect, octets):
    """CVE-2019-9512, CVE-2019-9515"""
    proxy, client, server = between
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.sendall(PREFACE + frame(SETTINGS))
        before = proxy.resident_bytes()
        end = time.monotonic() + 10
        with pytest.raises(OSError):
            while time.monotonic() < end:
                plain.sendall(octets * 1000)
    assert proxy.resident_bytes() - before < 2 << 20
    goes_on(client, server)


def test_a_section_in_endless_continuation_frames_is_cut_off(between, connect):
    """CVE-2024-27316"""
    proxy, client, server = between
    bad = connect(proxy.address)
    bad.send_raw(frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1, b"") * 200)
    assert bad.expect("GoAway").code == ENHANCE_YOUR_CALM
    bad.wait_closed()
    large = connect(proxy.address)
    large.send_raw(frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f\x80\x7f" + b"x" * 16000) * 60)
    assert large.expect("GoAway").code == ENHANCE_YOUR_CALM
    goes_on(client, server)


@pytest.mark.figures
def test_a_client_that_asks_for_answers_and_does_not_read_them_holds_little(between):
    """Nobody is asked: the proxy refuses each request itself."""
    proxy, client, server = between
    block = client.encoder.encode([(":method", "POST"), (":scheme", "http"), (":path", "no path"), (":authority", "x")])
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.sendall(PREFACE + frame(SETTINGS))
        before = proxy.resident_bytes()
        stream, end = 1, time.monotonic() + 8
        try:
            while time.monotonic() < end:
                octets = b"".join(
                    frame(HEADERS, END_HEADERS | END_STREAM, number, block) for number in range(stream, stream + 2000, 2))
                stream += 2000
                plain.sendall(octets)
        except OSError:
            pass
        assert stream > 2_000
        assert proxy.resident_bytes() - before < 12 << 20
    goes_on(client, server)


def test_a_client_that_makes_us_reset_its_streams_is_cut_off(between, connect):
    """CVE-2025-8671: updates of 0 have each stream reset by us, after the upstream has been asked."""
    proxy, client, server = between
    bad = connect(proxy.address)
    block = bad.encoder.encode(request())
    try:
        for number in range(1, 8000, 2):
            bad.send_raw(frame(HEADERS, END_HEADERS, number, block) + frame(WINDOW_UPDATE, 0, number, b"\0\0\0\0"))
    except OSError:
        pass
    bad.wait_closed()
    assert bad.expect("GoAway").code == ENHANCE_YOUR_CALM
    goes_on(client, server)
