"""What becomes of a request's frames on their way to the upstream (rules R)."""
import pytest

from harness.frame_client import request
from harness.frames import ENHANCE_YOUR_CALM, PROTOCOL_ERROR, is_refusal, message
from harness.settings import configuration


def forwarded(between, headers, body=b""):
    """Sends a request and returns its head as the upstream sees it."""
    _, client, server = between
    stream = client.open(headers, end_stream=False)
    client.send_data(stream, body, end_stream=True)
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    return head


@pytest.mark.parametrize("path", [
    "/moongate.test.Probe/Unary", "/a/b/.c/..d", "/Case.Sensitive/method", "/s/m?q=1&r=%20//%61/../", "/" + "long" * 500,
])
def test_R1_a_canonical_path_is_forwarded_as_it_is(between, path):
    assert forwarded(between, request(path=path)).get(":path") == path


@pytest.mark.parametrize("path, canonical", [
    ("/%61dmin", "/admin"), ("/a//b/.c/..d", "/a/b/.c/..d"), ("//a", "/a"), ("/percent%2bencoded%41", "/percent%2BencodedA"),
    ("/caf%c3%a9?q=%c3%a9&r=%61//", "/caf%C3%A9?q=%c3%a9&r=%61//"),
])
def test_R1_another_spelling_becomes_the_canonical_path_and_the_query_stays(between, path, canonical):
    assert forwarded(between, request(path=path, content_type="application/json")).get(":path") == canonical


def test_R1_pseudo_headers_come_first_and_once(between):
    head = forwarded(between, request())
    names = [name for name, _ in head.headers]
    assert sorted(names[:4]) == [":authority", ":method", ":path", ":scheme"]
    assert not [name for name in names[4:] if name.startswith(":")]


def test_R3_te_trailers_is_forwarded(between):
    assert forwarded(between, request()).all("te") == ["trailers"]


@pytest.mark.parametrize("field", [
    ("connection", "keep-alive"), ("keep-alive", "timeout=5"), ("proxy-connection", "close"),
    ("transfer-encoding", "chunked"), ("upgrade", "websocket"), ("te", "gzip"), ("X-Upper", "1"),
])
def test_R4_fields_that_http2_forbids_make_the_request_malformed(between, field):
    _, client, server = between
    stream = client.open(request(extra=[field]), end_stream=True)
    end = client.end(stream)
    # Either a stream error or a refusal by us; never a forwarded request.
    assert (end.type == "RstStream" and end.code == PROTOCOL_ERROR) or end.get(":status") == "400"
    assert not server.heads()
    other = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(other).get("grpc-status") == "0", "the connection goes on"


def test_R6_repeated_fields_keep_their_order_and_are_not_joined(between):
    fields = [("x-a-bin", "AAE"), ("x-b", "1"), ("x-a-bin", "AAE=,AgM"), ("x-b", "2"), ("x-b", "1")]
    head = forwarded(between, request(extra=fields))
    assert head.all("x-a-bin") == ["AAE", "AAE=,AgM"]
    assert head.all("x-b") == ["1", "2", "1"]


def test_R7_headers_beyond_the_limit_are_refused_and_the_connection_goes_on(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(
        server.address, listeners=[{"name": "main", "address": "127.0.0.1:0", "max_header_bytes": 8192}]))
    client = connect(proxy.address)
    stream = client.open(request(extra=[(f"x-{n}", "v" * 1000) for n in range(20)]), end_stream=True)
    assert is_refusal(client.answer(stream))
    other = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(other).get("grpc-status") == "0"


@pytest.mark.parametrize("part", ["head", "trailers"])
def test_R7_more_fields_than_the_limit_are_refused(moongate, upstream, connect, part):
    server = upstream()
    proxy = moongate(configuration(
        server.address, listeners=[{"name": "main", "address": "127.0.0.1:0", "max_header_fields": 20}]))
    client = connect(proxy.address)
    fields = [(f"x-{n}", "v") for n in range(14)]
    if part == "head":
        most = client.open(request(extra=fields), end_stream=True)
        more = client.open(request(extra=[*fields, ("x", "v")]), end_stream=True)
    else:
        most, more = client.open(), client.open()
        client.send_headers(most, fields, end_stream=True)
        client.send_headers(more, fields * 2, end_stream=True)
    assert is_refusal(client.answer(more))
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(most).get("grpc-status") == "0"


def test_R7_listener_announces_its_header_limit(between):
    _, client, _ = between
    assert client.expect("Settings").settings.get(0x6, 0) >= 8192


def test_F5_headers_in_many_continuation_frames(between):
    _, client, server = between
    value = "x" * 60_000
    stream = client.open(request(extra=[("x-large", value)]), end_stream=True, split=9000)
    connection, head = server.next_request()
    assert head.get("x-large") == value
    connection.respond(head.stream, headers=[("x-large", value)])
    assert client.answer(stream)[0].get("x-large") == value


def test_R8_empty_data_with_end_stream_is_forwarded_as_the_end(between):
    _, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    assert not head.ends_stream
    client.send_data(stream, message(b"abc"))
    connection.expect("Data", head.stream)
    client.send_data(stream, b"", end_stream=True)
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == message(b"abc")
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_R8_half_close_is_forwarded_after_the_response_has_begun(between):
    _, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", "200"), ("content-type", "application/grpc")])
    client.expect("Headers", stream)
    client.send_data(stream, b"", end_stream=True)
    assert connection.wait_end(head.stream, timeout=2)
    connection.send_headers(head.stream, [("grpc-status", "0")], end_stream=True)
    client.answer(stream)


def test_R8_request_head_reaches_the_upstream_before_any_data(between):
    _, client, server = between
    client.open()
    _, head = server.next_request(timeout=2)
    assert not head.ends_stream


def test_R8_request_that_ends_with_its_head_is_forwarded_as_one_frame(between):
    _, client, server = between
    client.open(end_stream=True)
    _, head = server.next_request()
    assert head.ends_stream


@pytest.mark.parametrize("claimed, sent", [("10", 5), ("5", 10), ("3", 0)])
def test_R9_content_length_that_lies_makes_the_request_malformed(between, claimed, sent):
    _, client, server = between
    stream = client.open(request(extra=[("content-length", claimed)]), end_stream=not sent)
    if sent:
        client.send_data(stream, b"x" * sent, end_stream=True)
    assert is_refusal(client.answer(stream))
    for connection in server.connections:
        ended = [frame for frame in connection.frames if frame.type in ("Headers", "Data") and frame.ends_stream]
        assert not ended, "the upstream must not take the request for complete"


def test_R9_no_content_length_is_added(between):
    head = forwarded(between, request(), body=message(b"abc"))
    assert head.get("content-length") is None


def test_R9_honest_content_length_is_kept(between):
    head = forwarded(between, request(extra=[("content-length", "8")]), body=message(b"abc"))
    assert head.get("content-length") in ("8", None)


def test_R10_plain_connect_is_refused(between):
    _, client, server = between
    stream = client.open([(":method", "CONNECT"), (":authority", "example.com:443")])
    assert is_refusal(client.answer(stream))
    assert not server.heads()


def test_R11_authority_is_forwarded_with_its_port(between):
    head = forwarded(between, request(authority="test.example:8443"))
    assert head.get(":authority") == "test.example:8443"
    assert head.get("host") in (None, "test.example:8443")


def test_R11_host_stands_in_for_a_missing_authority(between):
    head = forwarded(between, request(authority="", extra=[("host", "only.example")]))
    assert "only.example" in (head.get(":authority"), head.get("host"))


def test_R11_host_that_differs_from_the_authority_is_not_forwarded(between):
    _, client, server = between
    stream = client.open(request(extra=[("host", "other.example")]), end_stream=True)
    try:
        connection, head = server.next_request(timeout=1)
    except AssertionError:
        assert is_refusal(client.answer(stream))
        return
    assert head.get(":authority") == "test.example" and head.get("host") is None
    connection.respond(head.stream)


def test_R11_userinfo_in_the_authority_is_refused(between):
    _, client, server = between
    stream = client.open(request(authority="user:secret@test.example"), end_stream=True)
    assert is_refusal(client.answer(stream))
    assert not server.heads()


def test_R12_scheme_is_the_clients_view(between):
    assert forwarded(between, request()).get(":scheme") == "http"


def test_R14_unknown_grpc_headers_are_forwarded(between):
    fields = [("grpc-previous-rpc-attempts", "1"), ("grpc-tags-bin", "AAE"), ("grpc-accept-encoding", "gzip"),
              ("grpc-encoding", "identity"), ("grpc-message-type", "moongate.test.Order")]
    head = forwarded(between, request(extra=fields))
    for name, value in fields:
        assert head.get(name) == value


def test_F3_padding_is_taken_off_and_counted_in_the_windows(between):
    _, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    for _ in range(600):                       # 600 × 256 octets of flow control for 6,000 octets of data
        client.send_data(stream, b"x" * 10, padding=245)
    client.send_data(stream, b"", end_stream=True)
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == b"x" * 6000
    connection.respond(head.stream)
    client.answer(stream)
    granted = sum(f.increment for f in client.frames if f.type == "WindowUpdate" and f.stream == 0)
    assert granted >= 600 * 256 - 65535, "padding was never given back to the connection window"


def test_C9_ping_is_answered_at_once_and_not_forwarded(between):
    _, client, server = between
    stream = client.open()
    connection, _ = server.next_request()
    client.ping(b"mypinggg")
    answer = client.wait_for(lambda f: f.type == "Ping" and "ACK" in f.flags, timeout=1)
    assert answer.data == b"mypinggg"
    assert not [f for f in connection.frames if f.type == "Ping" and f.data == b"mypinggg"]
    client.reset(stream)


def plain_request():
    return request("/", content_type="text/plain")


def test_R2_large_trailers_that_do_not_end_the_stream_are_refused_at_once(between):
    """There could be any number of them, and a client whose window is shut never gets the answer that would end it."""
    _, client, server = between
    client.change_settings({0x4: 0})
    stream = client.open(plain_request())
    client.send_data(stream, b"body")
    server.next_request()
    trailers = [("x-trailer", "v" * 40_000), ("x-more", "v" * 40_000)]
    client.send_headers(stream, trailers)
    assert client.expect("RstStream", stream).code == PROTOCOL_ERROR
    # The connection and its header table go on.
    client.change_settings({0x4: 65535})
    forwarded(between, request())


def test_trailers_count_as_heads_do(moongate, upstream, connect):
    """Each stream's trailers lie here as long as its upstream does not take the body before them."""
    server = upstream(settings={0x4: 0}, refill=False)
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "limits": {"request_buffer": "64KiB"}}]))
    client = connect(proxy.address)
    streams = [client.open() for _ in range(6)]
    for stream in streams:
        client.send_data(stream, b"body")
        client.send_headers(stream, [("x-trailer", "v" * 20_000)], end_stream=True)
    # Answers to PING go before the resets of the same turn; the second one comes in a later turn.
    for data in (b"all done", b"and sent"):
        client.ping(data)
        client.wait_for(lambda frame: frame.type == "Ping" and frame.data == data, 5)
    refused = [stream for stream in streams if client.of_stream(stream)]
    assert [client.end(stream).code for stream in refused] == [ENHANCE_YOUR_CALM] * 3
    # Those that are held go on as soon as they can.
    connection = server.connection()
    connection.change_settings({0x4: 65535})
    for head in connection.heads():
        if head.stream not in {frame.stream for frame in connection.frames if frame.type == "RstStream"}:
            assert connection.wait_end(head.stream).get("x-trailer") == "v" * 20_000
            connection.respond(head.stream)
    for stream in set(streams) - set(refused):
        assert client.end(stream).get("grpc-status") == "0"
