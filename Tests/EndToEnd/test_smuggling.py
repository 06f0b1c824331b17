"""What could be read differently by the proxy and by a server behind it: nothing of the kind reaches a server.

The upstream keeps what arrives; what does arrive is compared field by field and octet by octet.
"""
import socket

import pytest

from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import PROTOCOL_ERROR, message
from harness.settings import configuration, route

CONTROLS = [0, 1, 7, 8, 10, 11, 12, 13, 27, 31, 127]
# What the proxy adds by itself.
ADDED = {"x-forwarded-for", "x-forwarded-proto", "grpc-timeout"}


def passes(client, server, fields, body=b""):
    """The head of a request as the upstream got it; the call goes through."""
    stream = client.open(fields, end_stream=not body)
    connection, head = server.next_request()
    if body:
        client.send_data(stream, body, end_stream=True)
        connection.wait_end(head.stream)
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    return head


def refused(client, server, fields, end_stream=True):
    """The end of a request that reaches nobody; the connection goes on."""
    known = len(server.heads())
    stream = client.open(fields, end_stream=end_stream)
    end = client.end(stream)
    head = passes(client, server, request())
    assert len(server.heads()) == known + 1
    assert head.get(":path") == "/moongate.test.Probe/Unary"
    return end


@pytest.mark.parametrize("place", ["value", "name", "path", "authority", "method", "scheme"])
def test_control_characters_reach_nobody(between, place):
    _, client, server = between
    for octet in CONTROLS:
        bad = f"a{chr(octet)}b"
        fields = {
            "value": request(extra=[("x-bad", bad)]), "name": request(extra=[(bad, "1")]), "path": request(path="/" + bad),
            "authority": request(authority=bad), "method": request(method=bad),
            "scheme": [(name, bad if name == ":scheme" else value) for name, value in request()],
        }[place]
        assert refused(client, server, fields).code == PROTOCOL_ERROR, octet


def test_a_line_end_hidden_by_compression_reaches_nobody(between):
    """In a Huffman-coded string, and in an entry of the table that is used again."""
    _, client, server = between
    bad = request(extra=[("x-a", "1\r\nx-b: 2")])
    for _ in range(3):
        assert refused(client, server, bad).code == PROTOCOL_ERROR


@pytest.mark.parametrize("name, value", [
    ("connection", "x-secret"), ("connection", "close"), ("keep-alive", "timeout=5"), ("proxy-connection", "keep-alive"),
    ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("upgrade", "websocket"), ("te", "gzip"),
    ("te", "trailers, deflate"), ("Transfer-Encoding", "chunked"), ("X-Upper", "1"), ("transfer-encoding ", "chunked"),
    (" transfer-encoding", "chunked"), ("transfer-encoding:", "chunked"), ("content-length", "0, 5"), ("content-length", "+0"),
    ("content-length", "0x0"), ("content-length", "5 "), ("content-length", "99999999999999999999"), ("host ", "other"),
    ("Host", "other"), ("x\u00e9", "1"), ("x(y)", "1"), ("x@y", "1"), ("x/y", "1"), ("x\"y", "1"), (":x", "1"), (":host", "a"),
])
def test_fields_that_say_how_a_message_is_framed_reach_nobody(between, name, value):
    _, client, server = between
    fields = [pair for pair in request() if pair[0] != "te"] + [(name, value)]
    assert refused(client, server, fields).code == PROTOCOL_ERROR


@pytest.mark.parametrize("path", [
    "moongate.test.Probe/Unary", "http://test.example/a", "//../a", "*", "?a", "#", "a", "/..", "/.", "/a/../b", "/a/./b", "/a/..",
    "/%2e%2e/b", "/a/%2E./b", "/a/.%2e", "/a#b", "/a?b#c", "/a\\b", "/a\\..\\b", "/a%00b", "/a%00", "/.?x", "/a%2fb", "/a%5cb",
    "/a%0d%0ab", "/a%", "/\u00e4", "/%c0%ae", "/%2541", "/a;b=c", "/a/..;/b", "/a/..%2fb",
])
def test_paths_that_servers_read_differently_are_answered_here(between, path):
    _, client, server = between
    end = refused(client, server, request(path=path))
    assert end.get("grpc-status") == "13" and "path" in end.get("grpc-message")
    plain = client.call(request(path=path, method="GET", content_type=""))
    assert plain[0].get(":status") == "400"
    assert all(head.get(":path") != path for head in server.heads())


@pytest.mark.parametrize("path", ["/a//b", "//a", "/%41", "/a%2bb", "/caf%c3%a9", "/a%20b"])
@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web+proto", "Application/gRPC+json"])
def test_a_grpc_path_needs_no_escape_and_no_empty_segment(between, path, content_type):
    _, client, server = between
    end = client.call(request(path=path, content_type=content_type))
    assert end[-1].get("grpc-status") == "13" or end[0].get(":status") == "400"
    assert not server.heads()


@pytest.mark.parametrize("path", [
    "/", "/a/", "/a?../b", "/a?x=/../y", "/...", "/.hidden", "/a+b", "/~a", "/a?%00", "/a?b=\"c\"", "/a?b=%2f;c",
])
def test_other_paths_arrive_as_they_were_sent(between, path):
    _, client, server = between
    arrived = passes(client, server, request(path=path)).get(":path")
    assert arrived == path


def test_the_path_of_options_may_be_an_asterisk(between):
    _, client, server = between
    assert passes(client, server, request(method="OPTIONS", path="*")).get(":path") == "*"


def test_dot_segments_lead_around_no_route(moongate, upstream, connect):
    public, private = upstream(), upstream()
    proxy = moongate(configuration(
        upstreams={"public": [public.address], "private": [private.address]},
        routes=[route("public", "public", match={"path_prefix": "/public"}),
                route("private", "private", match={"path_prefix": "/admin"})]))
    client = connect(proxy.address)
    for path in ("/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin/../../admin", "/public\\..\\admin"):
        assert client.call(request(path=path))[-1].get("grpc-status") == "13"
    assert not public.heads() and not private.heads()


@pytest.mark.parametrize("fields, status", [
    (request(extra=[("host", "other.example")]), "13"),
    (request(authority="") + [("host", "")], "13"),
    ([(name, "" if name == ":authority" else value) for name, value in request()], "13"),
    ([(name, "user@test.example" if name == ":authority" else value) for name, value in request()], "13"),
    (request(authority="") + [("host", "user@test.example")], "13"),
    (request(extra=[("host", "test.example"), ("host", "other.example")]), None),
    ([(":authority", "other.example")] + request(), None),
    (request(authority="test.example, other.example"), None),
    (request(authority="test.example other.example"), None),
    (request(authority="test.example/a"), None),
    (request(authority="test.example?a"), None),
    (request(authority="test.example#a"), None),
    (request(authority="test.example\\a"), None),
])
def test_hosts_that_are_not_one_host_reach_nobody(between, fields, status):
    _, client, server = between
    end = refused(client, server, fields)
    if status and end.type == "Headers":
        assert end.get("grpc-status") == status
    else:
        assert end.code == PROTOCOL_ERROR


def test_one_host_is_what_arrives(between):
    _, client, server = between
    head = passes(client, server, request(extra=[("host", "TEST.example")]))
    assert head.all(":authority") == ["test.example"] and not head.all("host")
    head = passes(client, server, request(authority="") + [("host", "other.example:81")])
    assert head.all(":authority") == ["other.example:81"] and not head.all("host")


def test_what_is_well_formed_arrives_octet_by_octet(between):
    _, client, server = between
    odd = [("x-odd", "\t ".join("ab")), ("x-quotes", "\"a\\\"b\", (c)"), ("x-high", "\x80\xff"), ("x-empty", ""), ("x-twice", "1"),
           ("x-twice", "2"), ("x-!#$%&'*+-.^`|~", "1"), ("cookie", "a=b; c=d"), ("x-long", "v" * 20_000)]
    head = passes(client, server, request(extra=odd), body=message(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"))
    got = [(name, value) for name, value in head.headers if name not in ADDED]
    wanted = [(name, value.encode("utf-8").decode("latin-1")) for name, value in request(extra=odd)]
    assert sorted(got) == sorted(wanted)
    connection = server.connections[0]
    assert connection.body(head.stream) == message(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")


def test_bodies_are_cut_where_the_client_cut_them_whatever_they_look_like(between):
    """What looks like frames, or like the end of an HTTP/1 body, is a body."""
    _, client, server = between
    body = message(b"0\r\n\r\n") + b"\0\0\0\0\1\0\0\0\1" + b"\0\0\4\3\0\0\0\0\1\0\0\0\10"
    stream = client.open(request())
    connection, head = server.next_request()
    for octet in body:
        client.send_data(stream, bytes([octet]))
    client.send_data(stream, b"", end_stream=True)
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == body
    connection.respond(head.stream, body=body)
    assert client.end(stream).get("grpc-status") == "0"
    assert client.body(stream) == body
    assert len(server.heads()) == 1


@pytest.mark.parametrize("first", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n",
])
def test_http_1_is_not_spoken(between, first):
    """Neither as such nor by an upgrade: there is nothing to desynchronize."""
    proxy, client, server = between
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain:
        try:
            plain.sendall(first)
            while plain.recv(4096):
                pass
        except ConnectionResetError:
            pass
    assert not server.heads()
    passes(client, server, request())


# MARK: Responses

@pytest.mark.parametrize("fields", [
    [("x-bad", "a\r\nset-cookie: b")], [("x\r\ny", "1")], [("X-Upper", "1")], [("transfer-encoding", "chunked")],
    [("connection", "close")], [("content-length", "1"), ("content-length", "2")], [(":path", "/")], [("x-bad", "a\0")],
])
def test_malformed_responses_reach_no_client(between, fields):
    _, client, server = between
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE + fields)
    end = client.end(stream)
    assert end.get("grpc-status") == "13"
    names = {name for frame in client.of_stream(stream) for name, _ in frame.headers or []}
    assert not names & {name for name, _ in fields} - {"content-length"}
    passes(client, server, request())


def test_malformed_trailers_reach_no_client(between):
    _, client, server = between
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    connection.send_headers(head.stream, OK + [("x-bad", "a\r\nb")], end_stream=True)
    end = client.end(stream)
    assert end.get("grpc-status") == "13" and not end.all("x-bad")


# MARK: Policies

INJECTIONS = [
    'headers:add("x-bad", "a\\r\\nb: c")', 'headers:add("x-bad", "a\\nb")', 'headers:add("x-bad", "a\\0b")',
    'headers:add("x-bad\\r\\nb", "1")', 'headers:add("x bad", "1")', 'headers:add("", "1")', 'headers:add("x:bad", "1")',
    'headers:add(":x-bad", "1")', 'headers:replace("x-bad", "a\\rb")', 'headers:replace(":path", "no-slash")',
    'headers:replace(":path", "/a b")', 'headers:replace(":path", "/a\\r\\nb")', 'headers:replace(":path", "/a#b")',
    'headers:replace(":path", "")', 'headers:replace(":method", "GET /")', 'headers:replace(":method", "")',
    'headers:replace(":method", "A\\r\\nB")', 'headers:replace(":scheme", "ht tp")', 'headers:replace(":authority", "a b")',
    'headers:replace(":authority", "a/b")', 'headers:replace("host", "a\\r\\nb")', 'headers:add("connection", "close")',
    'headers:add("transfer-encoding", "chunked")', 'headers:add("te", "gzip")', 'headers:add("content-length", "1, 2")',
    'headers:add("upgrade", "h2c")', 'headers:add(":status", "200")', 'headers:remove(":path")', 'headers:remove(":method")',
    'headers:add(":method", "GET")', 'headers:add(":scheme", "http")',
]


WRITES = 'h:headers():replace("content-length", "{}")'


@pytest.mark.parametrize("body, script, seen", [
    (b"", WRITES.format(5), None), (b"", WRITES.format(0), "0"), (b"12345", WRITES.format(4), None),
    (b"12345", WRITES.format(6), None), (b"12345", WRITES.format(5), "5"), (b"12345", "", "5"),
    (b"12345", 'h:body():setBytes("abc") ' + WRITES.format(5), None), (b"12345", 'h:body():setBytes("abc")', "3"),
    (b"12345", 'h:body():setBytes("abc") ' + WRITES.format(3), "3"),
    (b"12345", WRITES.format(4) + " for _ in h:bodyChunks() do end", None),
])
def test_a_length_that_a_script_writes_is_the_body_s_or_goes(scripted, body, script, seen):
    _, client, server = scripted(f"function envoy_on_request(h) {script} end")
    stream = client.open(
        request("/", content_type="text/plain", extra=[("content-length", str(len(body)))]), end_stream=not body)
    if body:
        client.send_data(stream, body, end_stream=True)
    connection, head = server.next_request()
    assert head.all("content-length") == ([seen] if seen else [])
    if "END_STREAM" not in head.flags:
        connection.wait_end(head.stream)
    assert seen is None or len(connection.body(head.stream)) == int(seen)


TEXT = [(":status", "200"), ("content-type", "text/plain")]


@pytest.mark.parametrize("body, script, seen", [
    (b"12345", WRITES.format(4), None), (b"12345", WRITES.format(6), None), (b"12345", WRITES.format(0), None),
    (b"12345", WRITES.format("9" * 18), None), (b"12345", WRITES.format("9" * 19), None),
    (b"12345", WRITES.format("0" * 18 + "4"), None), (b"12345", WRITES.format(5), "5"), (b"12345", "", "5"),
    (b"12345", "h:body()", "5"), (b"x" * 20_000, WRITES.format(20_000), "20000"), (b"x" * 20_000, WRITES.format(4096), None),
    (b"12345", 'h:body():setBytes("abc") ' + WRITES.format(5), None), (b"12345", 'h:body():setBytes("abc")', "3"),
    (b"12345", 'h:body():setBytes("abc") ' + WRITES.format(3), "3"),
    (b"12345", WRITES.format(4) + " for _ in h:bodyChunks() do end", None),
    (b"12345", WRITES.format(4) + " h:trailers()", None), (b"", WRITES.format(5), None), (b"", WRITES.format(0), "0"),
])
def test_a_length_that_a_script_writes_into_a_response_is_the_body_s_or_goes(scripted, body, script, seen):
    _, client, server = scripted(f"function envoy_on_response(h) {script} end")
    stream = client.open(request("/", content_type="text/plain", method="GET"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, TEXT + [("content-length", str(len(body)))], end_stream=not body)
    if body:
        connection.send_allowed(head.stream, body, end_stream=True)
    assert client.end(stream).type != "RstStream"
    assert client.answer(stream)[0].all("content-length") == ([seen] if seen else [])
    assert client.body(stream) == (b"abc" if "setBytes" in script else body)


def test_a_length_that_a_script_writes_goes_where_the_upstream_told_none(scripted):
    _, client, server = scripted(f"function envoy_on_response(h) {WRITES.format(5)} end")
    stream = client.open(request("/", content_type="text/plain", method="GET"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, TEXT)
    assert client.expect("Headers", stream).all("content-length") == []
    connection.send_data(head.stream, b"1234567", end_stream=True)
    assert client.end(stream).type == "Data" and client.body(stream) == b"1234567"


@pytest.mark.parametrize("method, status", [("HEAD", "200"), ("GET", "304")])
@pytest.mark.parametrize("script, seen", [("", "5"), (WRITES.format(7), "7")])
def test_the_length_of_a_response_without_a_body_is_another_s(scripted, method, status, script, seen):
    """It says what a GET would have got (RFC 9110 §8.6)."""
    _, client, server = scripted(f"function envoy_on_response(h) {script} end")
    stream = client.open(request("/", content_type="text/plain", method=method), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", status), ("content-length", "5")], end_stream=True)
    end = client.end(stream)
    assert end.all("content-length") == [seen] and client.body(stream) == b""


def test_a_length_that_a_script_writes_into_the_edge_s_own_answer_is_the_body_s_or_goes(scripted):
    _, client, server = scripted(
        f"function envoy_on_request(h) h:respond({{[':status'] = '403'}}, 'denied') end\n"
        f"function envoy_on_response(h) {WRITES.format(3)} end")
    stream = client.open(request("/", content_type="text/plain", method="GET"), end_stream=True)
    frames = client.answer(stream)
    assert frames[0].get(":status") == "403" and frames[0].all("content-length") == []
    assert client.body(stream) == b"denied"


@pytest.mark.parametrize("hook", ["request", "response"])
def test_scripts_inject_nothing(scripted, hook):
    """Each attempt is an error that the script sees, and what goes out is what came in."""
    attempts = "\n".join(
        f'  if pcall(function() {text.replace("headers:", "h:headers():")} end) then passed[#passed + 1] = {number} end'
        for number, text in enumerate(INJECTIONS))
    script = f"function envoy_on_{hook}(h)\n  local passed = {{}}\n{attempts}\n" \
             '  h:headers():add("x-passed", table.concat(passed, " "))\nend\n'
    _, client, server = scripted(script)
    fields = [pair for pair in request() if pair[0] != "te"]
    stream = client.open(fields, end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    answer = client.answer(stream)
    seen = head if hook == "request" else answer[0]
    passed = {INJECTIONS[int(number)] for number in seen.get("x-passed").split()}
    assert not passed
    if hook == "request":
        kept = [(name, value) for name, value in head.headers if name not in ADDED | {"x-passed"}]
        assert sorted(kept) == sorted(fields)
    else:
        kept = [(name, value) for name, value in answer[0].headers if name != "x-passed"]
        assert sorted(kept) == sorted(RESPONSE)


def test_scripts_inject_nothing_into_trailers_and_replies(scripted):
    script = '''
function envoy_on_request(h)
  if h:headers():get("x-reply") then
    h:respond({[":status"] = "200", ["x-bad"] = "a\\r\\nb"}, "text")
  end
end
function envoy_on_response(h)
  h:headers():add("x-trailers", tostring(pcall(function() h:trailers():add("x-bad", "a\\r\\nb") end)))
end
'''
    _, client, server = scripted(script)
    stream = client.open(request(extra=[("x-reply", "1")]), end_stream=True)
    end = client.answer(stream)
    assert all("x-bad" not in [name for name, _ in frame.headers or []] for frame in end)
    assert not server.heads()
