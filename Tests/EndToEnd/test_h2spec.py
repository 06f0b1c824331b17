"""The cases of h2spec (github.com/summerwind/h2spec), under their numbers, against one edge.

h2spec takes any of several answers for right; here each case has the one that this edge gives. `generic` is what every server
has to bear, `http2` and `hpack` are rules and their breaches.
"""
import socket
import struct
import threading
import time

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from harness.abuses import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from harness.frame_client import FrameClient
from harness.frame_upstream import FrameUpstream
from harness.frames import (
    CANCEL,
    FLOW_CONTROL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
)
from harness.ports import split
from harness.proxy import Moongate
from harness.settings import configuration

FRAME_SIZE_ERROR, COMPRESSION_ERROR = 0x6, 0x9
WITH_PRIORITY = 0x20
MOST_STREAMS = 20
# What the upstream answers with.
BODY = b"answer"
# Requests with this path are not answered.
HOLD = "/hold"


def answer(connection, head):
    """The upstream's script: every request is answered when it has ended, but those to `HOLD`."""
    def respond():
        try:
            if not head.ends_stream:
                connection.wait_end(head.stream, timeout=30)
            is_head = head.get(":method") == "HEAD"
            connection.send_headers(head.stream, [(":status", "200"), ("content-type", "text/plain")], is_head)
            if not is_head:
                connection.send_allowed(head.stream, BODY, end_stream=True)
        except (AssertionError, OSError):
            pass

    if head.get(":path") == HOLD:
        return
    if head.ends_stream:
        return respond()
    threading.Thread(target=respond, daemon=True).start()


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    server = FrameUpstream(answer)
    listener = {"name": "main", "address": "127.0.0.1:0", "max_concurrent_streams": MOST_STREAMS}
    proxy = Moongate(tmp_path_factory.mktemp("h2spec"), configuration(server.address, listeners=[listener]))
    yield proxy
    is_well = proxy.running()
    proxy.stop()
    server.close()
    assert is_well


# MARK: What is sent

def literal(name, value, kind=0x00):
    """Without indexing and with a new name, unless `kind` says otherwise (RFC 7541 §6.2)."""
    texts = [text.encode() for text in (name, value)]
    return bytes([kind]) + b"".join(bytes([len(text)]) + text for text in texts)


def block(*fields, **changes):
    """The fields of a request, in order; `changes` are other values of pseudo-headers by their names without the colon, `None`
    leaves one out. `fields` follow them: pairs, or octets."""
    values = {"method": "GET", "scheme": "http", "path": HOLD, "authority": "test.example", **changes}
    octets = b"".join(literal(f":{name}", value) for name, value in values.items() if value is not None)
    return octets + b"".join(field if isinstance(field, bytes) else literal(*field) for field in fields)


POST = {"method": "POST"}
GET_ANSWERED = {"path": "/"}
POST_ANSWERED = {"method": "POST", "path": "/"}


def head(stream=1, *fields, ends=True, flags=END_HEADERS, payload=b"{}", **changes):
    """HEADERS of a request; `payload` says what stands around its block."""
    before, after = payload.split(b"{}")
    return frame(HEADERS, flags | (END_STREAM if ends else 0), stream, before + block(*fields, **changes) + after)


def held(stream=1):
    """A request that stays open on both sides."""
    return head(stream, ends=False, **POST)


def priority(depends_on=0, weight=16, exclusive=False):
    return struct.pack(">IB", depends_on | (1 << 31 if exclusive else 0), weight - 1)


def setting(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def update(stream, octets):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", octets))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def oversized(kind, flags, stream):
    return frame(kind, flags, stream, b"\0" * 16385)


# MARK: What is expected

def lives(client):
    """The connection goes on."""
    token = struct.pack(">Q", time.monotonic_ns())
    client.ping(token)
    client.wait_for(lambda got: got.type == "Ping" and "ACK" in got.flags and got.data == token, what="answer to PING")
    assert not [got for got in client.frames if got.type == "GoAway"], client.transcript()


def is_answered(stream=1, body=BODY):
    def check(client):
        end = client.end(stream)
        assert end.type != "RstStream" or end.code == NO_ERROR, client.transcript()
        assert client.expect("Headers", stream).get(":status") == "200"
        assert client.body(stream) == body
        lives(client)
    return check


def ends_connection(code):
    def check(client):
        assert client.expect("GoAway").code == code
        client.wait_closed()
    return check


def ends_stream(code, stream=1):
    def check(client):
        assert client.expect("RstStream", stream).code == code
        lives(client)
    return check


def answers_ping(payload):
    """The first frame of its kind is the answer to the PING with this payload."""
    def check(client):
        assert client.expect("Ping").data == payload
        lives(client)
    return check


# MARK: Cases. Each has what is sent behind the preface and SETTINGS, in one write, and what is expected.

GENERIC = {
    "generic/1/1": (b"", lives),
    # States of streams
    "generic/2/1": (frame(PRIORITY, 0, 1, priority()) + head(1, **GET_ANSWERED), is_answered()),
    "generic/2/2": (head(1) + update(1, 1), lives),
    "generic/2/3": (head(1) + frame(PRIORITY, 0, 1, priority()), lives),
    "generic/2/4": (head(1) + reset(1), lives),
    "generic/2/5": (head(1) + reset(1) + frame(PRIORITY, 0, 1, priority()), lives),
    # Frames
    "generic/3.1/1": (head(1, ends=False, **POST_ANSWERED) + frame(DATA, END_STREAM, 1, b"test"), is_answered()),
    "generic/3.1/2": (
        head(1, ends=False, **POST_ANSWERED) + frame(DATA, 0, 1, b"test") * 3 + frame(DATA, END_STREAM, 1, b"test"),
        is_answered()),
    "generic/3.1/3": (
        head(1, ends=False, **POST_ANSWERED) + frame(DATA, END_STREAM | PADDED, 1, b"\x06test" + b"\0" * 6), is_answered()),
    "generic/3.2/1": (head(1, **GET_ANSWERED), is_answered()),
    "generic/3.2/2": (
        head(1, flags=END_HEADERS | PADDED, payload=b"\x06{}" + b"\0" * 6, **GET_ANSWERED), is_answered()),
    "generic/3.2/3": (
        head(1, flags=END_HEADERS | WITH_PRIORITY, payload=priority(0, 256) + b"{}", **GET_ANSWERED), is_answered()),
    "generic/3.3/1": (frame(PRIORITY, 0, 1, priority(weight=1)) + head(1, **GET_ANSWERED), is_answered()),
    "generic/3.3/2": (frame(PRIORITY, 0, 1, priority(weight=256)) + head(1, **GET_ANSWERED), is_answered()),
    "generic/3.3/3": (frame(PRIORITY, 0, 3, priority(1)) + head(3, **GET_ANSWERED), is_answered(3)),
    "generic/3.3/4": (frame(PRIORITY, 0, 3, priority(1, exclusive=True)) + head(3, **GET_ANSWERED), is_answered(3)),
    "generic/3.3/5": (frame(PRIORITY, 0, 7, priority(0)) + head(5, **GET_ANSWERED), is_answered(5)),
    "generic/3.4/1": (head(1) + reset(1), lives),
    "generic/3.5/1": (setting((0x3, 100)), lives),
    "generic/3.7/1": (frame(PING, 0, 0, b"h2spec\0\0"), answers_ping(b"h2spec\0\0")),
    "generic/3.8/1": (
        head(1, **GET_ANSWERED) + frame(GOAWAY, 0, 0, struct.pack(">II", 0, NO_ERROR)),
        FrameClient.wait_closed),
    "generic/3.9/1": (update(0, 1) + head(1, **GET_ANSWERED), is_answered()),
    "generic/3.9/2": (head(1, **GET_ANSWERED) + update(1, 1), is_answered()),
    "generic/3.10/1": (
        head(1, flags=0, **GET_ANSWERED) + frame(CONTINUATION, END_HEADERS, 1, literal("x-dummy", "1")), is_answered()),
    "generic/3.10/2": (
        head(1, flags=0, **GET_ANSWERED) + frame(CONTINUATION, 0, 1, literal("x-dummy", "1")) * 3
        + frame(CONTINUATION, END_HEADERS, 1, literal("x-dummy", "2")), is_answered()),
    # Semantics
    "generic/4/1": (head(1, **GET_ANSWERED), is_answered()),
    "generic/4/2": (head(1, method="HEAD", path="/"), is_answered(body=b"")),
    "generic/4/3": (head(1, ends=False, **POST_ANSWERED) + frame(DATA, END_STREAM, 1, b"test"), is_answered()),
    "generic/4/4": (
        head(1, ("trailer", "x-test"), ends=False, **POST_ANSWERED) + frame(DATA, 0, 1, b"test")
        + frame(HEADERS, END_HEADERS | END_STREAM, 1, literal("x-test", "ok")), is_answered()),
}

def string(text, huffman):
    """A string of a header block (RFC 7541 §5.2)."""
    octets = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text) if huffman else text
    return bytes([len(octets) | (0x80 if huffman else 0)]) + octets


def representations():
    """Those of RFC 7541 §6: a number; literals that are indexed, are not and never are, with the name's number (`user-agent` has
    58) and with a new name, each without and with Huffman codes; changes of the table's size."""
    yield b"\x82"
    for known, new in ((b"\x7a", b"\x40"), (b"\x0f\x2b", b"\x00"), (b"\x1f\x2b", b"\x10")):
        for huffman in False, True:
            yield known + string(b"h2spec", huffman)
        for huffman in False, True:
            yield new + string(b"x-test", huffman) + string(b"h2spec", huffman)
    yield b"\x20"
    yield b"\x20\x3f\xe1\x1f"


def represented(octets):
    """A request with this representation: of its method where it is a number, at the beginning where it is a change of the
    table, else behind its fields."""
    fields = block(**GET_ANSWERED)
    if octets == b"\x82":
        fields = b"\x82" + block(method=None, path="/")
    elif octets[0] & 0xe0 == 0x20:
        fields = octets + fields
    else:
        fields += octets
    return frame(HEADERS, END_HEADERS | END_STREAM, 1, fields)


GENERIC |= {f"generic/5/{number}": (represented(octets), is_answered())
            for number, octets in enumerate(representations(), 1)}

HTTP2 = {
    "http2/3.5/1": (b"", lives),
    # 3.5/2 is `test_h2spec_http2_3_5_2`.
    "http2/4.1/1": (frame(0xff, 0, 0, b"\0" * 8), lives),
    "http2/4.1/2": (frame(PING, 0x16, 0, b"h2spec\0\0"), lives),
    "http2/4.1/3": (frame(PING, 0, 1 << 31, b"h2spec\0\0"), lives),
    "http2/4.2/1": (
        head(1, ends=False, **POST_ANSWERED) + frame(DATA, END_STREAM, 1, b"x" * 16384), is_answered()),
    "http2/4.2/2": (held() + oversized(DATA, END_STREAM, 1), ends_connection(FRAME_SIZE_ERROR)),
    "http2/4.2/3": (oversized(HEADERS, END_STREAM | END_HEADERS, 1), ends_connection(FRAME_SIZE_ERROR)),
    "http2/4.3/1": (
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x0auser-agent\x7f\xff"), ends_connection(COMPRESSION_ERROR)),
    "http2/4.3/2": (
        head(1, flags=0) + frame(PRIORITY, 0, 1, priority()) + frame(CONTINUATION, END_HEADERS, 1, literal("x", "y")),
        ends_connection(PROTOCOL_ERROR)),
    "http2/4.3/3": (head(1, flags=0) + head(3), ends_connection(PROTOCOL_ERROR)),
    # Idle streams
    "http2/5.1/1": (frame(DATA, END_STREAM, 1, b"test"), ends_connection(PROTOCOL_ERROR)),
    "http2/5.1/2": (reset(1), ends_connection(PROTOCOL_ERROR)),
    "http2/5.1/3": (update(1, 100), ends_connection(PROTOCOL_ERROR)),
    "http2/5.1/4": (frame(CONTINUATION, END_HEADERS, 1, block()), ends_connection(PROTOCOL_ERROR)),
    # Streams that the client has ended
    "http2/5.1/5": (head(1) + frame(DATA, END_STREAM, 1, b"test"), ends_stream(STREAM_CLOSED)),
    "http2/5.1/6": (head(1) + head(1), ends_stream(STREAM_CLOSED)),
    "http2/5.1/7": (head(1) + frame(CONTINUATION, END_HEADERS, 1, block()), ends_connection(PROTOCOL_ERROR)),
    # Streams that the client has reset
    "http2/5.1/8": (held() + reset(1) + frame(DATA, END_STREAM, 1, b"test"), ends_connection(STREAM_CLOSED)),
    "http2/5.1/9": (held() + reset(1) + head(1), ends_connection(STREAM_CLOSED)),
    "http2/5.1/10": (held() + reset(1) + frame(CONTINUATION, END_HEADERS, 1, block()), ends_connection(PROTOCOL_ERROR)),
    # 5.1/11, 12 and 13, streams that both sides have ended, are `test_h2spec_http2_5_1_closed`.
    "http2/5.1.1/1": (head(2), ends_connection(PROTOCOL_ERROR)),
    "http2/5.1.1/2": (head(5) + head(3), ends_connection(STREAM_CLOSED)),
    "http2/5.1.2/1": (
        b"".join(held(stream) for stream in range(1, 2 * MOST_STREAMS + 2, 2)),
        ends_stream(REFUSED_STREAM, 2 * MOST_STREAMS + 1)),
    "http2/5.3.1/1": (
        head(1, ends=False, flags=END_HEADERS | WITH_PRIORITY, payload=priority(1) + b"{}"), ends_stream(PROTOCOL_ERROR)),
    "http2/5.3.1/2": (held() + frame(PRIORITY, 0, 1, priority(1)), ends_stream(PROTOCOL_ERROR)),
    "http2/5.4.1/1": (frame(PING, 0, 3, b"\0" * 8), ends_connection(PROTOCOL_ERROR)),
    "http2/5.4.1/2": (
        head(1, **GET_ANSWERED) + frame(PING, 0, 1, b"\0" * 8),
        ends_connection(PROTOCOL_ERROR)),
    "http2/5.5/1": (frame(0x16, 0, 0, b"\0" * 4), lives),
    "http2/5.5/2": (
        head(1, flags=0) + frame(0x16, 0, 0, b"\0" * 8) + frame(CONTINUATION, END_HEADERS, 1, literal("x", "y")),
        ends_connection(PROTOCOL_ERROR)),
    "http2/6.1/1": (frame(DATA, END_STREAM, 0, b"test"), ends_connection(PROTOCOL_ERROR)),
    "http2/6.1/2": (head(1) + frame(DATA, END_STREAM, 1, b"test"), ends_stream(STREAM_CLOSED)),
    "http2/6.1/3": (held() + frame(DATA, END_STREAM | PADDED, 1, b"\x05Test"), ends_connection(PROTOCOL_ERROR)),
    "http2/6.2/1": (head(1, flags=0) + frame(PRIORITY, 0, 1, priority()), ends_connection(PROTOCOL_ERROR)),
    "http2/6.2/2": (head(1, flags=0) + head(3), ends_connection(PROTOCOL_ERROR)),
    "http2/6.2/3": (head(0), ends_connection(PROTOCOL_ERROR)),
    "http2/6.2/4": (
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff" + block()), ends_connection(PROTOCOL_ERROR)),
    "http2/6.3/1": (frame(PRIORITY, 0, 0, priority()), ends_connection(PROTOCOL_ERROR)),
    "http2/6.3/2": (held() + frame(PRIORITY, 0, 1, b"\x80\0\0\1"), ends_connection(FRAME_SIZE_ERROR)),
    "http2/6.4/1": (reset(0), ends_connection(PROTOCOL_ERROR)),
    "http2/6.4/2": (reset(1), ends_connection(PROTOCOL_ERROR)),
    "http2/6.4/3": (held() + frame(RST_STREAM, 0, 1, b"\0\0\0"), ends_connection(FRAME_SIZE_ERROR)),
    "http2/6.5/1": (frame(SETTINGS, ACK, 0, b"\0"), ends_connection(FRAME_SIZE_ERROR)),
    "http2/6.5/2": (frame(SETTINGS, 0, 1, struct.pack(">HI", 3, 100)), ends_connection(PROTOCOL_ERROR)),
    "http2/6.5/3": (frame(SETTINGS, 0, 0, b"\0\3\0"), ends_connection(FRAME_SIZE_ERROR)),
    "http2/6.5.2/1": (setting((0x2, 2)), ends_connection(PROTOCOL_ERROR)),
    "http2/6.5.2/2": (setting((0x4, 1 << 31)), ends_connection(FLOW_CONTROL_ERROR)),
    "http2/6.5.2/3": (setting((0x5, 16383)), ends_connection(PROTOCOL_ERROR)),
    "http2/6.5.2/4": (setting((0x5, 1 << 24)), ends_connection(PROTOCOL_ERROR)),
    "http2/6.5.2/5": (setting((0xff, 1)), lives),
    # 6.5.3, 6.9.1/1, 6.9.2/1 and 6.9.2/2 are functions below.
    "http2/6.7/1": (frame(PING, 0, 0, b"h2spec\0\0"), answers_ping(b"h2spec\0\0")),
    "http2/6.7/2": (
        frame(PING, ACK, 0, b"invalid\0") + frame(PING, 0, 0, b"h2spec\0\0"),
        answers_ping(b"h2spec\0\0")),
    "http2/6.7/3": (frame(PING, 0, 1, b"\0" * 8), ends_connection(PROTOCOL_ERROR)),
    "http2/6.7/4": (frame(PING, 0, 0, b"\0" * 6), ends_connection(FRAME_SIZE_ERROR)),
    "http2/6.8/1": (frame(GOAWAY, 0, 1, struct.pack(">II", 0, NO_ERROR)), ends_connection(PROTOCOL_ERROR)),
    "http2/6.9/1": (update(0, 0), ends_connection(PROTOCOL_ERROR)),
    "http2/6.9/2": (held() + update(1, 0), ends_stream(PROTOCOL_ERROR)),
    "http2/6.9/3": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), ends_connection(FRAME_SIZE_ERROR)),
    "http2/6.9.1/2": (update(0, 2**31 - 1) * 2, ends_connection(FLOW_CONTROL_ERROR)),
    "http2/6.9.1/3": (held() + update(1, 2**31 - 1) * 2, ends_stream(FLOW_CONTROL_ERROR)),
    "http2/6.9.2/3": (setting((0x4, 1 << 31)), ends_connection(FLOW_CONTROL_ERROR)),
    "http2/6.10/1": (
        head(1, flags=0, **GET_ANSWERED) + frame(CONTINUATION, 0, 1, literal("x-dummy", "1"))
        + frame(CONTINUATION, END_HEADERS, 1, literal("x-dummy", "2")), is_answered()),
    "http2/6.10/2": (
        head(1, flags=0) + frame(CONTINUATION, 0, 1, literal("x", "1")) + frame(DATA, END_STREAM, 1, b"test"),
        ends_connection(PROTOCOL_ERROR)),
    "http2/6.10/3": (
        head(1, flags=0) + frame(CONTINUATION, END_HEADERS, 0, literal("x", "1")), ends_connection(PROTOCOL_ERROR)),
    "http2/6.10/4": (
        held() + frame(CONTINUATION, END_HEADERS, 1, literal("x", "1")), ends_connection(PROTOCOL_ERROR)),
    "http2/6.10/5": (
        head(1, flags=0) + frame(CONTINUATION, END_HEADERS, 1, literal("x", "1")) * 2, ends_connection(PROTOCOL_ERROR)),
    "http2/6.10/6": (
        held() + frame(DATA, 0, 1, b"test") + frame(CONTINUATION, END_HEADERS, 1, literal("x", "1")),
        ends_connection(PROTOCOL_ERROR)),
    "http2/7/1": (
        frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0xff)),
        # Whoever says that it leaves, and has no streams, is let go.
        FrameClient.wait_closed),
    "http2/7/2": (held() + reset(1, 0xff), lives),
    "http2/8.1/1": (
        held() + frame(DATA, 0, 1, b"test") + frame(HEADERS, END_HEADERS, 1, literal("x-test", "ok")),
        ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2/1": (head(1, ("X-TEST", "ok")), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.1/1": (head(1, literal(":test", "ok")), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.1/2": (head(1, literal(":status", "200")), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.1/3": (
        held() + frame(DATA, 0, 1, b"test") + frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(":method", "200")),
        ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.1/4": (head(1, ("x-test", "ok"), (":path", "/"), path=None), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.2/1": (head(1, ("connection", "keep-alive")), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.2/2": (head(1, ("trailers", "test"), ("te", "trailers, deflate")), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.3/1": (head(1, path=""), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.3/2": (head(1, method=None), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.3/3": (head(1, scheme=None), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.3/4": (head(1, path=None), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.3/5": (head(1, (":method", "GET")), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.3/6": (head(1, (":scheme", "http")), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.3/7": (head(1, (":path", "/")), ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.6/1": (
        head(1, ("content-length", "1"), ends=False, **POST) + frame(DATA, END_STREAM, 1, b"test"),
        ends_stream(PROTOCOL_ERROR)),
    "http2/8.1.2.6/2": (
        head(1, ("content-length", "1"), ends=False, **POST) + frame(DATA, 0, 1, b"test")
        + frame(DATA, END_STREAM, 1, b"test"), ends_stream(PROTOCOL_ERROR)),
    "http2/8.2/1": (
        frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\3" + block()), ends_connection(PROTOCOL_ERROR)),
}

HPACK = {
    "hpack/2.3.3/1": (head(1, b"\xfe"), ends_connection(COMPRESSION_ERROR)),
    "hpack/2.3.3/2": (head(1, b"\x7f\x0f\x04test"), ends_connection(COMPRESSION_ERROR)),
    "hpack/4.2/1": (head(1, b"\x21"), ends_connection(COMPRESSION_ERROR)),
    "hpack/5.2/1": (head(1, b"\x00\x04test\x87\x49\x50\x9f\xff\xff\xff\xff"), ends_connection(COMPRESSION_ERROR)),
    "hpack/5.2/2": (head(1, b"\x00\x04test\x83\x49\x50\x90"), ends_connection(COMPRESSION_ERROR)),
    "hpack/5.2/3": (head(1, b"\x00\x04test\x87\x49\x51\xff\xff\xff\xfa\x7f"), ends_connection(COMPRESSION_ERROR)),
    "hpack/6.1/1": (head(1, b"\x80"), ends_connection(COMPRESSION_ERROR)),
    "hpack/6.3/1": (
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe2\x1f" + block()), ends_connection(COMPRESSION_ERROR)),
}

CASES = GENERIC | HTTP2 | HPACK


@pytest.fixture
def client(edge):
    opened = []

    def start(settings=None, **options):
        opened.append(FrameClient(edge.address, settings=settings, **options))
        return opened[-1]

    yield start
    for made in opened:
        made.close()


@pytest.mark.parametrize("case", CASES)
def test_h2spec(client, case):
    octets, check = CASES[case]
    peer = client()
    peer.expect("Settings")
    peer.send_raw(octets)
    check(peer)


def test_h2spec_http2_3_5_2_an_invalid_preface_ends_the_connection(edge):
    with socket.create_connection(split(edge.address), timeout=5) as plain:
        plain.sendall(b"INVALID CONNECTION PREFACE\r\n\r\n")
        received = b""
        while more := plain.recv(4096):
            received += more
    assert received.endswith(struct.pack(">II", 0, PROTOCOL_ERROR))


@pytest.mark.parametrize("case, octets, code", [
    ("http2/5.1/11", frame(DATA, END_STREAM, 1, b"test"), STREAM_CLOSED),
    ("http2/5.1/12", head(1), STREAM_CLOSED),
    ("http2/5.1/13", frame(CONTINUATION, END_HEADERS, 1, block()), PROTOCOL_ERROR),
], ids=["http2/5.1/11", "http2/5.1/12", "http2/5.1/13"])
def test_h2spec_http2_5_1_closed(client, case, octets, code):
    peer = client()
    peer.send_raw(head(1, **GET_ANSWERED))
    is_answered()(peer)
    peer.send_raw(octets)
    ends_connection(code)(peer)


def data_sizes(peer, stream=1):
    return [len(got.data) for got in peer.of_stream(stream) if got.type == "Data"]


def test_h2spec_http2_6_5_3_1_the_last_of_several_values_counts(client):
    peer = client(refill=False)
    peer.send_raw(setting((0x4, 100), (0x4, 1)) + head(1, **GET_ANSWERED))
    peer.expect("Data", 1)
    lives(peer)
    assert data_sizes(peer) == [1]


def test_h2spec_http2_6_5_3_2_settings_are_acknowledged(client):
    peer = client()
    peer.wait_for(lambda got: got.type == "Settings" and "ACK" in got.flags)
    peer.send_raw(setting((0x2, 0)))
    peer.wait_for(lambda got: sum(one.type == "Settings" and "ACK" in one.flags for one in peer.frames) == 2)


def test_h2spec_http2_6_9_1_1_no_more_data_than_the_window(client):
    peer = client({0x4: 1}, refill=False)
    peer.send_raw(head(1, **GET_ANSWERED))
    peer.expect("Data", 1)
    lives(peer)
    assert data_sizes(peer) == [1]


def test_h2spec_http2_6_9_2_1_settings_open_windows_of_streams_that_are_open(client):
    peer = client({0x4: 0}, refill=False)
    peer.send_raw(head(1, **GET_ANSWERED))
    peer.expect("Headers", 1)
    lives(peer)
    assert data_sizes(peer) == []
    peer.change_settings({0x4: 1})
    peer.expect("Data", 1)
    lives(peer)
    assert data_sizes(peer) == [1]


def test_h2spec_http2_6_9_2_2_windows_may_be_negative(client):
    peer = client({0x4: 3}, refill=False)
    peer.send_raw(head(1, **GET_ANSWERED))
    peer.expect("Data", 1)
    # The window is -1, and then 1.
    peer.change_settings({0x4: 2})
    lives(peer)
    assert data_sizes(peer) == [3]
    peer.send_raw(update(1, 2))
    peer.wait_for(lambda got: got.type == "Data" and len(got.data) == 1)
    lives(peer)
    assert data_sizes(peer) == [3, 1]


def test_h2spec_all_147_cases_are_there():
    functions = ["3_5_2", "6_5_3_1", "6_5_3_2", "6_9_1_1", "6_9_2_1", "6_9_2_2"]
    assert all(any(name.startswith(f"test_h2spec_http2_{part}_") for name in globals()) for part in functions)
    assert len(CASES) + len(functions) + len(["5.1/11", "5.1/12", "5.1/13"]) == 147
