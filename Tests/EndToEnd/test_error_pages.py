"""Answers that are no gRPC, for callers who expect some (rule S6)."""
import time
import urllib.parse

import pytest

from harness.frame_client import request
from harness.frames import CANCEL
from harness.settings import configuration, route
from harness.waiting import eventually


def answered(between, status, body=b"", content_type="text/html", headers=(), end=True):
    _, client, server = between
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    fields = [(":status", str(status))] + ([("content-type", content_type)] if content_type else []) + list(headers)
    connection.send_headers(head.stream, fields, end_stream=end and not body)
    if body:
        connection.send_data(head.stream, body, end_stream=end)
    return client, stream, connection, head


@pytest.mark.parametrize("status, code", [
    (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (431, 13), (500, 2), (502, 14), (503, 14), (504, 14), (200, 2),
    (302, 2), (418, 2),
])
def test_S6_http_status_becomes_a_status_with_the_text(between, status, code):
    client, stream, _, _ = answered(between, status, b"<h1>no\n   such  page</h1>")
    frames = client.answer(stream)
    assert [frame.type for frame in frames] == ["Headers"], "trailers-only"
    assert frames[0].get(":status") == "200" and frames[0].get("content-type") == "application/grpc"
    assert frames[0].get("grpc-status") == str(code)
    text = urllib.parse.unquote(frames[0].get("grpc-message"))
    assert text == f"the upstream answered with HTTP {status} instead of gRPC: <h1>no such page</h1>"


def test_S6_only_the_beginning_of_a_long_text_is_told(between):
    client, stream, connection, head = answered(between, 502, "ä".encode() * 2000, end=False)
    message = urllib.parse.unquote(client.end(stream).get("grpc-message"))
    assert message.endswith("gRPC: " + "ä" * 128)
    assert connection.expect("RstStream", head.stream).code == CANCEL


def test_S6_text_that_does_not_come_is_not_waited_for_long(between):
    client, stream, connection, head = answered(between, 502, b"half", end=False)
    began = time.monotonic()
    assert client.end(stream).get("grpc-message").endswith("gRPC: half")
    assert time.monotonic() - began < 4


def test_S6_compressed_text_is_left_out(between):
    client, stream, _, _ = answered(between, 503, b"\x1f\x8b\x00\xff", headers=[("content-encoding", "gzip")])
    last = client.end(stream)
    assert last.get("grpc-status") == "14"
    assert last.get("grpc-message") == "the upstream answered with HTTP 503 instead of gRPC"


def test_S6_status_in_the_head_wins(between):
    client, stream, _, _ = answered(between, 502, content_type="text/plain", headers=[("grpc-status", "9")])
    last = client.end(stream)
    assert last.get("grpc-status") == "9" and last.get(":status") == "502"


def test_S6_callers_that_do_not_speak_grpc_get_the_page(between):
    _, client, server = between
    stream = client.open(request(content_type="application/json"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", "502"), ("content-type", "text/html")])
    connection.send_data(head.stream, b"<h1>page</h1>", end_stream=True)
    frames = client.answer(stream)
    assert frames[0].get(":status") == "502" and client.body(stream) == b"<h1>page</h1>"


def test_S6_hooks_of_the_response_see_the_page(moongate, upstream, connect):
    server = upstream()
    lua = 'function on_response(handle) handle:logWarn("saw " .. handle:headers():get(":status")) end'
    proxy = moongate(configuration(server.address, routes=[route(policies=[{"name": "see", "lua": lua}])]))
    client = connect(proxy.address)
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", "502"), ("content-type", "text/html")])
    connection.send_data(head.stream, b"<h1>page</h1>", end_stream=True)
    assert client.end(stream).get("grpc-status") == "14"
    eventually(lambda: any("saw 502" in line for line in proxy.lines), what="the hook's line")
