"""Bodies and trailers in policies: whole, in pieces, both ways, and what becomes of them when something goes wrong."""
import pytest

from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import CANCEL, message
from harness.waiting import eventually

PLAIN = [(":status", "200"), ("content-type", "text/plain")]


def plain(method="POST", extra=()):
    return [(":method", method), (":scheme", "http"), (":path", "/x"), (":authority", "a.example"), *extra]


def answer(connection, head, body=b"", headers=PLAIN, trailers=None):
    """A whole answer in one piece."""
    connection.send_headers(head.stream, headers, end_stream=not body and not trailers)
    if body:
        connection.send_data(head.stream, body, end_stream=not trailers)
    if trailers:
        connection.send_headers(head.stream, trailers, end_stream=True)


def head_of(frames):
    return next(frame for frame in frames if frame.type == "Headers")


# MARK: The whole body

def test_body_waits_for_all_of_the_request_and_the_head_waits_too(scripted):
    proxy, client, server = scripted("""
        function on_request(h)
          local body = h:body()
          h:headers():add("x-length", body:length())
          h:headers():add("x-first", body:getBytes(0, 3))
        end""")
    stream = client.open(plain())
    client.send_data(stream, b"abc")
    client.ping()
    client.expect("Ping")
    assert not server.connections
    client.send_data(stream, b"defg", end_stream=True)
    connection, head = server.next_request()
    assert (head.get("x-length"), head.get("x-first")) == ("7", "abc")
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == b"abcdefg"
    answer(connection, head, b"fine")
    client.end(stream)
    assert client.body(stream) == b"fine"


def test_body_is_nil_without_one_and_can_be_made(scripted):
    _, client, server = scripted("""
        function on_request(h)
          h:headers():add("x-body", tostring(h:body()))
          h:headers():add("x-made", h:body(true):setBytes("made"))
        end""")
    client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    assert (head.get("x-body"), head.get("x-made"), head.get("content-length")) == ("nil", "4", "4")
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == b"made"


def test_two_policies_rewrite_both_bodies_one_after_the_other(scripted):
    text = """
        function on_request(h) local b = h:body() b:setBytes(b:getBytes(0, b:length()) .. "-NAME") end
        function on_response(h) local b = h:body() b:setBytes(b:getBytes(0, b:length()) .. "-NAME") end"""
    _, client, server = scripted(text.replace("NAME", "one"), text.replace("NAME", "two"))
    stream = client.open(plain(extra=[("content-length", "4")]))
    client.send_data(stream, b"data", end_stream=True)
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == b"data-one-two"
    assert head.get("content-length") == "12"
    answer(connection, head, b"reply", PLAIN + [("content-length", "5")])
    client.end(stream)
    assert client.body(stream) == b"reply-two-one"
    assert head_of(client.of_stream(stream)).get("content-length") == "13"


@pytest.mark.parametrize("status", ["204", "205", "304"])
def test_a_response_that_a_policy_makes_one_without_a_body_has_none(scripted, status):
    """RFC 9110 §15.3.5, §15.3.6, §15.4.5"""
    _, client, server = scripted(f"function on_response(h) h:headers():replace(':status', '{status}') end")
    stream = client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, PLAIN)
    connection.send_data(head.stream, b"of a 200")
    assert client.end(stream).get(":status") == status
    assert client.body(stream) == b""
    assert connection.expect("RstStream", head.stream).code == CANCEL


@pytest.mark.parametrize("status", ["204", "205", "304"])
def test_an_answer_of_a_policy_that_cannot_have_a_body_gets_none(scripted, status):
    _, client, _ = scripted(f"function on_request(h) h:respond({{[':status'] = '{status}'}}, 'text') end")
    stream = client.open(plain("GET"), end_stream=True)
    assert client.end(stream).get(":status") == status
    assert client.body(stream) == b""


@pytest.mark.parametrize("status", ["204", "205", "304"])
def test_response_that_cannot_have_a_body_gets_none(scripted, status):
    proxy, client, server = scripted("function on_response(h) h:body(true):setBytes('made') end")
    stream = client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    answer(connection, head, headers=[(":status", status)])
    client.end(stream)
    assert head_of(client.of_stream(stream)).get("content-length") is None
    assert client.body(stream) == b""


@pytest.mark.parametrize("call, status", [("h:body()", "413"), ("h:body():setBytes(('x'):rep(2000))", "413")])
def test_too_large_request_ends_with_413(scripted, call, status):
    proxy, client, server = scripted(f"function on_request(h) {call} error('resumed') end", body_limit="1000B")
    stream = client.open(plain())
    client.send_data(stream, b"x" * (1001 if call == "h:body()" else 10), end_stream=True)
    assert head_of(client.answer(stream)).get(":status") == status
    assert not any("resumed" in line for line in proxy.lines)
    assert not server.connections


def test_too_large_response_ends_with_500_and_resource_exhausted(scripted):
    _, client, server = scripted("function on_response(h) h:body() end", body_limit="1000B")
    for head, status in ((plain("GET"), ("500", None)), (request(), ("200", "8"))):
        stream = client.open(head, end_stream=True)
        connection, taken = server.next_request()
        answer(connection, taken, b"x" * 1001, RESPONSE if status[1] else PLAIN)
        first = head_of(client.answer(stream))
        assert (first.get(":status"), first.get("grpc-status")) == status


def test_response_body_of_a_local_reply_can_be_rewritten(scripted):
    _, client, _ = scripted(
        "function on_response(h) local b = h:body() b:setBytes('<' .. b:getBytes(0, b:length()) .. '>') end",
        "function on_request(h) h:respond({[':status'] = '403'}, 'no') end")
    stream = client.open(plain("GET"), end_stream=True)
    client.end(stream)
    assert client.body(stream) == b"<no>"
    assert head_of(client.of_stream(stream)).get("content-length") == "4"


# MARK: Pieces

def test_pieces_come_as_frames_came_and_the_last_one_is_writable_behind_the_loop(scripted):
    _, client, server = scripted("""
        function on_response(h)
          local last, seen = nil, ""
          for chunk in h:bodyChunks() do
            seen = seen .. chunk:length() .. " "
            chunk:setBytes("")
            last = chunk
          end
          last:setBytes(seen)
        end""")
    stream = client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, PLAIN + [("content-length", "6")])
    connection.send_data(head.stream, b"a")
    connection.send_data(head.stream, b"bb")
    connection.send_data(head.stream, b"ccc", end_stream=True)
    client.end(stream)
    assert client.body(stream) == b"1 2 3 "
    assert head_of(client.of_stream(stream)).get("content-length") is None


def test_pieces_pass_before_the_end_comes_and_the_head_does_not_wait(scripted):
    _, client, server = scripted("""
        function on_request(h)
          for chunk in h:bodyChunks() do chunk:setBytes(chunk:getBytes(0, chunk:length()):upper()) end
        end""")
    stream = client.open(plain())
    connection, head = server.next_request()
    client.send_data(stream, b"one")
    eventually(lambda: connection.body(head.stream) == b"ONE", what="the first piece")
    client.send_data(stream, b"two")
    eventually(lambda: connection.body(head.stream) == b"ONETWO", what="the second piece")
    client.send_data(stream, end_stream=True)
    connection.wait_end(head.stream)
    answer(connection, head, b"done")
    client.end(stream)


def test_kept_pieces_are_dead_and_the_head_is_fixed(scripted):
    _, client, server = scripted("""
        function on_response(h)
          local headers, old, texts = h:headers(), nil, {}
          for chunk in h:bodyChunks() do
            if old then
              texts[#texts + 1] = select(2, pcall(old.length, old))
              texts[#texts + 1] = select(2, pcall(headers.add, headers, "x", "y"))
              texts[#texts + 1] = select(2, pcall(h.respond, h, {[":status"] = "200"}, ""))
              texts[#texts + 1] = select(2, pcall(h.body, h))
              texts[#texts + 1] = headers:get(":status")
              chunk:setBytes(table.concat(texts, "|"))
            end
            old = chunk
          end
        end""")
    stream = client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, PLAIN)
    connection.send_data(head.stream, b"a")
    connection.send_data(head.stream, b"b", end_stream=True)
    client.end(stream)
    body = client.body(stream).decode()
    for part in ("object used outside of proper scope", "header map can no longer be modified",
                 "respond() cannot be called if headers have been continued",
                 "cannot call body() after body", "|200"):
        assert part in body, body


def test_leaving_the_loop_lets_the_rest_pass(scripted):
    _, client, server = scripted("""
        function on_response(h)
          for chunk in h:bodyChunks() do chunk:setBytes("first ") break end
        end""")
    stream = client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, PLAIN)
    connection.send_data(head.stream, b"a")
    connection.send_data(head.stream, b"rest", end_stream=True)
    client.end(stream)
    assert client.body(stream) == b"first rest"


# MARK: Trailers

@pytest.mark.parametrize("first", ["", "h:body()", "for c in h:bodyChunks() do end"])
def test_trailers_are_read_and_written_behind_body_pieces_or_nothing(scripted, first):
    _, client, server = scripted(f"""
        function on_response(h)
          {first}
          local trailers = h:trailers()
          trailers:replace("grpc-status", "7")
          trailers:add("x-added", "yes")
        end""")
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    answer(connection, head, message(b"hello"), RESPONSE, OK)
    last = client.end(stream)
    assert (last.get("grpc-status"), last.get("x-added")) == ("7", "yes")
    assert client.body(stream) == message(b"hello")


def test_trailers_are_nil_without_and_can_be_made(scripted):
    _, client, server = scripted("""
        function on_request(h) h:headers():add("x-none", tostring(h:trailers())) end
        function on_response(h) h:trailers(true):add("x-none", tostring(h:trailers() == nil)) end""")
    stream = client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    assert head.get("x-none") == "nil"
    answer(connection, head, b"body")
    last = client.end(stream)
    assert last.get("x-none") == "false" and client.body(stream) == b"body"


def test_request_trailers_go_through_policies(scripted):
    _, client, server = scripted("function on_request(h) h:trailers():replace('x-sum', 'changed') end")
    stream = client.open(plain())
    connection, head = server.next_request()
    client.send_data(stream, b"data")
    client.send_headers(stream, [("x-sum", "1")], end_stream=True)
    last = connection.wait_end(head.stream)
    assert last.get("x-sum") == "changed" and connection.body(head.stream) == b"data"


# MARK: Several at once

def test_one_policy_streams_while_another_waits_for_the_whole(scripted):
    _, client, server = scripted(
        "function on_request(h) for c in h:bodyChunks() do c:setBytes('<' .. c:getBytes(0, c:length()) .. '>') end end",
        "function on_request(h) local b = h:body() h:headers():add('x-all', b:getBytes(0, b:length())) end")
    stream = client.open(plain())
    for part in (b"a", b"b"):
        client.send_data(stream, part)
    client.send_data(stream, b"c", end_stream=True)
    connection, head = server.next_request()
    assert head.get("x-all") == "<a><b><c>"
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == b"<a><b><c>"


def test_request_is_streamed_while_response_hooks_run(scripted):
    """A call that streams both ways."""
    _, client, server = scripted("""
        function on_request(h) for c in h:bodyChunks() do c:setBytes("q" .. c:getBytes(0, c:length())) end end
        function on_response(h) for c in h:bodyChunks() do c:setBytes("r" .. c:getBytes(0, c:length())) end end""")
    stream = client.open(plain())
    connection, head = server.next_request()
    client.send_data(stream, b"1")
    eventually(lambda: connection.body(head.stream) == b"q1", what="the first piece of the request")
    connection.send_headers(head.stream, PLAIN)
    connection.send_data(head.stream, b"1")
    eventually(lambda: client.body(stream) == b"r1", what="the first piece of the response")
    client.send_data(stream, b"2", end_stream=True)
    connection.wait_end(head.stream)
    connection.send_data(head.stream, b"2", end_stream=True)
    client.end(stream)
    assert (connection.body(head.stream), client.body(stream)) == (b"q1q2", b"r1r2")


# MARK: Errors

def test_error_before_the_head_is_sent_is_a_whole_answer(scripted):
    _, client, server = scripted("function on_request(h) h:body() error('oops') end")
    stream = client.open(plain())
    client.send_data(stream, b"data", end_stream=True)
    assert head_of(client.answer(stream)).get(":status") == "500"
    assert not server.connections


def test_error_between_messages_of_a_response_becomes_trailers_else_a_reset(scripted):
    _, client, server = scripted("function on_response(h) for c in h:bodyChunks() do if c:length() == 1 then error('oops') end end end")
    for first, ends in ((message(b"hi"), "Headers"), (message(b"hi")[:4], "RstStream")):
        stream = client.open(request(), end_stream=True)
        connection, head = server.next_request()
        connection.send_headers(head.stream, RESPONSE)
        connection.send_data(head.stream, first)
        eventually(lambda: client.body(stream) == first, what="the first piece")
        connection.send_data(head.stream, b"x")
        last = client.end(stream)
        assert last.type == ends
        if ends == "Headers":
            assert last.get("grpc-status") == "13"
        connection.wait_for(lambda frame: frame.stream == head.stream and frame.type == "RstStream", what="reset")


def test_error_with_on_error_continue_lets_the_rest_pass_untouched(scripted):
    _, client, server = scripted(
        "function on_response(h) for c in h:bodyChunks() do c:setBytes('x') error('oops') end end", on_error="continue")
    stream = client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, PLAIN)
    connection.send_data(head.stream, b"a")
    eventually(lambda: client.body(stream) == b"x", what="the first piece")
    connection.send_data(head.stream, b"b", end_stream=True)
    client.end(stream)
    assert client.body(stream) == b"xb"


@pytest.mark.parametrize("hook", [
    "h:body()", "for c in h:bodyChunks() do end", "h:trailers()", "for c in h:bodyChunks() do end h:trailers()"])
@pytest.mark.parametrize("phase", ["on_request", "on_response"])
def test_reset_in_every_waiting_state_ends_the_hook(scripted, phase, hook):
    proxy, client, server = scripted(f"function {phase}(h) {hook} print('went on') end")
    stream = client.open(request())
    client.send_data(stream, message(b"hi"))
    if phase == "on_response":
        connection, head = server.next_request()
        connection.send_headers(head.stream, RESPONSE)
        connection.send_data(head.stream, message(b"hi"))
    client.ping()
    client.expect("Ping")
    client.reset(stream)
    client.ping(b"87654321")
    client.wait_for(lambda frame: frame.type == "Ping" and frame is not None, what="ping")
    # The engine serves on, and nothing of the dead stream goes on in it.
    if "h:body()" in hook or phase == "on_response":
        other = client.open(request())
        client.send_data(other, message(b"x"), end_stream=True)
        connection, head = server.next_request()
        if phase == "on_response":
            connection.respond(head.stream)
            client.end(other)
    assert sum("went on" in line for line in proxy.lines) <= 1


# MARK: Flow control

MIB = 1 << 20


@pytest.mark.parametrize("hook", ["for c in h:bodyChunks() do end", "h:trailers()"])
def test_streaming_to_a_slow_reader_bounds_what_the_other_side_may_send(scripted, hook):
    """What a side may send is its window: counted in frames."""
    _, client, server = scripted(
        f"function on_response(h) {hook} end", client_settings={0x4: 10_000}, refill=False)
    stream = client.open(plain("GET"), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, PLAIN)
    with pytest.raises(AssertionError, match="no window"):
        connection.send_allowed(head.stream, b"x" * (4 * MIB), timeout=0.5)
    # The large window that a client gets once it has taken some.
    assert MIB // 4 < connection.sent[head.stream] <= MIB
    eventually(lambda: len(client.body(stream)) == 10_000, what="what the window allows")


def test_large_streams_pass_whole(scripted):
    _, client, server = scripted("""
        function on_request(h) for c in h:bodyChunks() do end end
        function on_response(h) for c in h:bodyChunks() do end end""")
    body = bytes(range(256)) * 8192
    stream = client.open(plain())
    connection, head = server.next_request()
    client.send_allowed(stream, body, end_stream=True)
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == body
    connection.send_headers(head.stream, PLAIN)
    connection.send_allowed(head.stream, body, end_stream=True)
    client.end(stream)
    assert client.body(stream) == body
