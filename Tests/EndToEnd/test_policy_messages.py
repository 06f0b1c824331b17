"""gRPC messages in policies: `handle:grpcMessages()` and `on_grpc_message`."""
import time

import grpc
import pytest

from harness.client import OpenMessages, seen_metadata
from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import message
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

MIB = 1 << 20
# In Protocol Buffers the last value of a field counts, so that a message is changed by bytes behind it.
CHANGES = """
    function on_grpc_message(handle, message)
      if handle:isResponse() then message:set(message:bytes() .. "\\x12\\3abc") return end
      if message:bytes():find("drop", 1, true) then message:drop() else message:set(message:bytes() .. "\\x0a\\3abc") end
    end"""


@pytest.fixture
def called(moongate, backend, client):
    """A policy before a real server; gives proxy and client."""
    def start(text, **more):
        proxy = moongate(
            configuration(backend.address, routes=[route(policies=[{"policy": "policies/p0.lua"}])], **more),
            policies={"p0.lua": text})
        return proxy, client(proxy.address)

    return start


def runs(proxy):
    return proxy.metric("moongate_policy_runs_total", policy="p0", hook="on_grpc_message")


def head_of(frames):
    return next(frame for frame in frames if frame.type == "Headers")


def begin(client, server, first=b"", extra=()):
    """A call whose head has reached the upstream, and the response's head the client."""
    stream = client.open(request(extra=extra))
    if first:
        client.send_data(stream, first)
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    client.wait_for(lambda frame: frame.type == "Headers" and frame.stream == stream, what="the head")
    return stream, connection, head.stream


# MARK: Calls

def test_messages_of_a_unary_call_are_changed_both_ways(called):
    proxy, caller = called(CHANGES)
    report = caller.unary(Order(payload=b"longer"))
    assert (report.received_bytes, report.backend) == (3, "abc")
    assert runs(proxy) == 2
    assert "content-length" not in seen_metadata(report)


def test_messages_of_a_stream_are_changed_dropped_and_counted_while_it_runs(called):
    proxy, caller = called(CHANGES)
    orders = OpenMessages(Order(payload=b"one"))
    call = caller.probe.Bidi(iter(orders), timeout=20)
    assert next(call).backend == "abc"
    orders.put(Order(payload=b"please drop"))
    orders.put(Order(payload=b"two"))
    report = next(call)
    assert (report.received_orders, report.received_bytes) == (2, 6)
    eventually(lambda: runs(proxy) == 5, what="five messages")
    orders.close()
    assert list(call) == [] and call.code() is grpc.StatusCode.OK


def test_compressed_calls_pass_and_a_changed_message_is_not_compressed(called, scripted):
    _, caller = called("function on_grpc_message(h, m) assert(h:isResponse() or m:isCompressed()) end")
    order = Order(payload=b"x" * 5000)
    assert caller.unary(order, compression=grpc.Compression.Gzip).received_bytes == 5000
    _, client, server = scripted("""
        function on_grpc_message(h, m) if m:isCompressed() then m:set(m:length() .. " compressed bytes") end end""")
    stream = client.open(request(extra=[("grpc-encoding", "gzip")]))
    client.send_data(stream, message(b"abc", compressed=1) + message(b"plain"), end_stream=True)
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == message(b"3 compressed bytes") + message(b"plain")


def test_loop_over_messages_waits_within_itself_and_behind_it_are_trailers(scripted):
    _, client, server = scripted("""
        local moon = require "moon"
        function on_response(handle)
          local count = 0
          for message in handle:grpcMessages() do
            moon.sleep(0.01)
            count = count + 1
            message:set(count .. message:bytes())
          end
          handle:trailers():add("x-count", tostring(count))
        end""")
    stream, connection, there = begin(client, server)
    for text in (b"a", b"", b"c"):
        connection.send_data(there, message(text))
    connection.send_headers(there, OK, end_stream=True)
    assert client.end(stream).get("x-count") == "3"
    assert client.body(stream) == message(b"1a") + message(b"2") + message(b"3c")


def test_single_bytes_make_messages(scripted):
    _, client, server = scripted("function on_grpc_message(h, m) m:set(m:bytes():upper()) end")
    stream = client.open(request())
    connection, head = server.next_request()
    for octet in message(b"abc") + message(b"") + message(b"d"):
        client.send_data(stream, bytes([octet]))
    client.send_data(stream, end_stream=True)
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == message(b"ABC") + message(b"") + message(b"D")


def test_several_policies_see_what_those_before_have_made(scripted):
    text = "function on_grpc_message(h, m) m:set(m:bytes() .. 'NAME') end"
    whole = "function on_request(h) local b = h:body() h:headers():set('x-length', b:length()) end"
    _, client, server = scripted(text.replace("NAME", "-one"), whole, text.replace("NAME", "-two"))
    stream = client.open(request(extra=[("content-length", "12")]))
    client.send_data(stream, message(b"a") + message(b"b"), end_stream=True)
    connection, head = server.next_request()
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == message(b"a-one-two") + message(b"b-one-two")
    assert head.get("x-length") == str(len(message(b"a-one")) * 2)
    assert head.get("content-length") is None
    connection.send_headers(head.stream, RESPONSE)
    connection.send_data(head.stream, message(b"r"))
    eventually(lambda: client.body(stream) == message(b"r-two-one"), what="the response's message")


def test_other_bodies_pass(scripted):
    proxy, client, server = scripted("""
        function on_grpc_message() error("called") end
        function on_request(h)
          for _ in h:grpcMessages() do error("given") end
          h:headers():add("x-body", h:body():length())
        end""")
    stream = client.open([(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "a.example")])
    client.send_data(stream, b"no message", end_stream=True)
    connection, head = server.next_request()
    assert head.get("x-body") == "10"
    connection.send_headers(head.stream, [(":status", "200")])
    connection.send_data(head.stream, b"none either", end_stream=True)
    client.end(stream)
    assert client.body(stream) == b"none either" and runs(proxy) == 0


def test_leaving_the_loop_lets_the_rest_pass(scripted):
    _, client, server = scripted("""
        function on_request(h) for m in h:grpcMessages() do m:set("first") break end end""")
    stream = client.open(request())
    connection, head = server.next_request()
    rest = message(b"b") + message(b"cdef")
    client.send_data(stream, message(b"a") + rest[:8])
    eventually(lambda: connection.body(head.stream) == message(b"first") + rest[:8], what="what has come")
    client.send_data(stream, rest[8:], end_stream=True)
    connection.wait_end(head.stream)
    assert connection.body(head.stream) == message(b"first") + rest


def test_trailers_let_the_begun_message_pass(scripted):
    _, client, server = scripted("""
        function on_response(h) for m in h:grpcMessages() do h:trailers():add("x-last", "yes") end end""")
    stream, connection, there = begin(client, server)
    body = message(b"a") + message(b"bcd") + message(b"e")
    connection.send_data(there, body[:9])
    connection.send_data(there, body[9:])
    connection.send_headers(there, OK, end_stream=True)
    assert client.end(stream).get("x-last") == "yes"
    assert client.body(stream) == body


def test_mistakes_are_script_errors(scripted):
    _, client, server = scripted("""
        function on_request(h)
          local texts = {}
          local function try(f, ...) texts[#texts + 1] = select(2, pcall(f, ...)) end
          try(h.grpcMessages, h, 0)
          try(h.grpcMessages, h, 1001)
          local chunks, old = h:bodyChunks(), nil
          for m in h:grpcMessages(500) do
            if old then try(old.bytes, old) end
            try(h.grpcMessages, h)
            try(h.bodyChunks, h)
            try(chunks)
            try(h.body, h)
            old = m
            m:drop()
            try(m.bytes, m)
            if #texts > 8 then h:grpcRespond { status = 0, message = table.concat(texts, "|") } end
          end
        end""", message_limit="1000B")
    stream = client.open(request())
    client.send_data(stream, message(b"a") + message(b"b"), end_stream=True)
    text = client.answer(stream)[0].get("grpc-message")
    for part in ("the limit must be 1 to 1000 bytes", "object used outside of proper scope",
                 "cannot call grpcMessages after", "cannot call bodyChunks after", "cannot call body() after",
                 "the message was dropped"):
        assert part in text, text


# MARK: Limits

@pytest.mark.parametrize("hook", [
    "function on_grpc_message() end", "function on_request(h) for m in h:grpcMessages(1000) do end end",
    "function on_grpc_message(h, m) m:set(('x'):rep(1001)) end"])
def test_too_large_request_message_is_refused_before_a_response(scripted, hook):
    _, client, _ = scripted(hook, message_limit="1000B")
    stream = client.open(request())
    # The length alone decides; nothing of the message is waited for.
    client.send_data(stream, message(b"a") if "rep" in hook else message(b"a") + message(b"x" * 1001)[:5])
    first = head_of(client.answer(stream))
    assert first.get("grpc-status") == "8" and "1000 bytes" in first.get("grpc-message")


@pytest.mark.parametrize("size", [1000, 1001])
def test_too_large_response_message_ends_a_response_that_has_begun(scripted, size):
    _, client, server = scripted("function on_grpc_message(h, m) end", message_limit="1000B")
    stream, connection, there = begin(client, server)
    connection.send_data(there, message(b"small"))
    connection.send_data(there, message(b"x" * size))
    if size <= 1000:
        connection.send_headers(there, OK, end_stream=True)
    last = client.end(stream)
    assert last.get("grpc-status") == ("0" if size <= 1000 else "8")
    assert client.body(stream) == message(b"small") + (message(b"x" * size) if size <= 1000 else b"")


def test_cut_streams_are_errors(scripted):
    _, client, server = scripted("function on_grpc_message() end")
    stream = client.open(request())
    server.next_request()
    client.send_data(stream, message(b"abc")[:-1], end_stream=True)
    first = head_of(client.answer(stream))
    assert (first.get("grpc-status"), first.get("grpc-message")) == ("13", "the request ends within a message")
    stream, connection, there = begin(client, server)
    connection.send_data(there, message(b"abc") + b"\0\0")
    connection.send_headers(there, OK, end_stream=True)
    last = client.end(stream)
    assert (last.get("grpc-status"), last.get("grpc-message")) == ("13", "the response ends within a message")
    assert client.body(stream) == message(b"abc")


def test_slow_reader_stops_the_sender(scripted):
    """The proxy takes what is in its own queue, one message, and a window."""
    proxy, client, server = scripted(
        "function on_grpc_message() end", client_settings={0x4: 1000}, refill=False)
    stream, connection, there = begin(client, server)
    piece, sent = message(b"x" * 4091), 0
    while sent < 8 * MIB:
        if connection.allowance(there) < len(piece):
            connection.ping()
            connection.expect("Ping")
            time.sleep(0.2)
            if connection.allowance(there) < len(piece):
                break
        connection.send_data(there, piece)
        sent += len(piece)
    assert sent <= MIB
    taken = runs(proxy)
    eventually(lambda: len(client.body(stream)) == 1000, what="what the window allows")
    assert taken * 4096 < 128 * 1024, "no message is begun while the queue is full"
    client.grant(0, 4 * MIB)
    client.grant(stream, 4 * MIB)
    eventually(lambda: len(client.body(stream)) == sent, what="all of it")


def test_one_message_larger_than_windows_and_queues_passes(scripted):
    _, client, server = scripted("function on_grpc_message() end", "function on_grpc_message() end")
    body = message(bytes(range(256)) * 12000) * 2
    stream = client.open(request())
    connection, head = server.next_request()
    client.send_allowed(stream, body, end_stream=True, timeout=20)
    connection.wait_end(head.stream, timeout=20)
    assert connection.body(head.stream) == body


def test_very_many_messages_leave_others_their_turn(scripted, connect):
    count = 200_000
    proxy, client, server = scripted("function on_grpc_message() end")
    stream, connection, there = begin(client, server)
    sender = message() * 3000
    longest, sent = 0.0, 0
    other = connect(proxy.address)
    while sent < count:
        connection.send_allowed(there, sender, timeout=30)
        sent += 3000
        began = time.monotonic()
        quick = other.open(request(path="/other/Call"), end_stream=True)
        at, head = server.next_request(timeout=30)
        at.respond(head.stream)
        other.end(quick, timeout=30)
        longest = max(longest, time.monotonic() - began)
    connection.send_headers(there, OK, end_stream=True)
    client.end(stream, timeout=240)
    assert client.body(stream) == message() * sent
    assert runs(proxy) >= sent
    assert longest < 2, f"a call took {longest:.2f} s"


# MARK: Answers and errors

DETAILS = b"\x08\x0a\x12\x04stop"


def test_answer_midway_ends_the_response_with_details_and_metadata(called):
    proxy, caller = called("""
        function on_grpc_message(handle, message)
          if not handle:isResponse() and message:bytes():find("stop", 1, true) then
            handle:grpcRespond { status = "ABORTED", message = "enough", details = "\\x08\\x0a\\x12\\4stop",
              metadata = { ["x-why"] = "because", ["x-raw-bin"] = "\\0\\1" } }
          end
        end""")
    orders = OpenMessages(Order(payload=b"one"))
    call = caller.probe.Bidi(iter(orders), timeout=20)
    assert next(call).received_orders == 1
    orders.put(Order(payload=b"stop"))
    with pytest.raises(grpc.RpcError):
        next(call)
    orders.close()
    assert (call.code(), call.details()) == (grpc.StatusCode.ABORTED, "enough")
    trailing = dict(call.trailing_metadata())
    assert trailing["grpc-status-details-bin"] == DETAILS
    assert (trailing["x-why"], trailing["x-raw-bin"]) == ("because", b"\0\1")
    assert proxy.metric("moongate_policy_replies_total", policy="p0", hook="on_grpc_message") == 1


@pytest.mark.parametrize("answer, status", [
    ("grpcRespond { status = 9, message = 'no' }", "9"), ("respond({ [':status'] = '403' }, 'no')", "7")])
def test_answer_before_the_response_is_a_whole_one(scripted, answer, status):
    _, client, server = scripted(f"function on_grpc_message(h, m) if m:bytes() == 'no' then h:{answer} end end")
    stream = client.open(request())
    client.send_data(stream, message(b"yes"))
    connection, head = server.next_request()
    eventually(lambda: connection.body(head.stream) == message(b"yes"), what="the first message")
    client.send_data(stream, message(b"no"))
    frames = client.answer(stream)
    assert (head_of(frames).get("grpc-status"), head_of(frames).get("grpc-message")) == (status, "no")
    connection.wait_for(lambda frame: frame.stream == head.stream and frame.type == "RstStream", what="reset")
    assert connection.body(head.stream) == message(b"yes")


def test_answer_behind_half_a_message_or_other_responses_is_a_reset(scripted):
    _, client, server = scripted(
        "function on_request(h) for m in h:grpcMessages() do h:grpcRespond { status = 9 } end end",
        "function on_response(h) for c in h:bodyChunks() do end end")
    for headers, body in ((RESPONSE, message(b"abc")[:-1]), ([(":status", "200")], b"text")):
        stream = client.open(request())
        connection, head = server.next_request()
        connection.send_headers(head.stream, headers)
        connection.send_data(head.stream, body)
        eventually(lambda: client.body(stream) == body, what="the begin of the response")
        client.send_data(stream, message(b"a"))
        assert client.end(stream).type == "RstStream"


def test_respond_behind_the_response_stays_an_error(scripted):
    proxy, client, server = scripted(
        "function on_grpc_message(h, m) h:respond({ [':status'] = '403' }, 'no') end")
    stream, connection, there = begin(client, server)
    client.send_data(stream, message(b"a"))
    assert client.end(stream).get("grpc-status") == "13"
    proxy.wait_for_line("respond() cannot be called if headers have been continued", 5)


def test_error_denies(scripted):
    proxy, client, server = scripted("function on_grpc_message(h, m) if m:bytes() == 'bad' then error('oops') end end")
    stream = client.open(request())
    server.next_request()
    client.send_data(stream, message(b"bad"), end_stream=True)
    assert head_of(client.answer(stream)).get("grpc-status") == "13"
    stream, connection, there = begin(client, server)
    connection.send_data(there, message(b"good") + message(b"bad") + message(b"good"))
    assert client.end(stream).get("grpc-status") == "13"
    assert client.body(stream) == message(b"good")
    assert proxy.metric(
        "moongate_policy_errors_total", policy="p0", hook="on_grpc_message", reason="script") == 2
    assert "p0.lua:1: oops" in proxy.wait_for_line('"hook":"on_grpc_message"', 5)


def test_error_that_may_be_is_that_of_one_message(scripted):
    _, client, server = scripted(
        "function on_grpc_message(h, m) if m:bytes() == 'bad' then error('oops') end m:set('seen') end",
        on_error="continue")
    stream, connection, there = begin(client, server)
    connection.send_data(there, message(b"a") + message(b"bad") + message(b"b"))
    connection.send_headers(there, OK, end_stream=True)
    assert client.end(stream).get("grpc-status") == "0"
    assert client.body(stream) == message(b"seen") + message(b"bad") + message(b"seen")


def test_stream_keeps_its_hook_when_that_is_replaced(called):
    proxy, caller = called("function on_grpc_message(h, m) m:set(m:bytes() .. '\\x12\\3old') end")
    orders = OpenMessages(Order())
    call = caller.probe.Bidi(iter(orders), timeout=20)
    assert next(call).backend == "old"
    proxy.overwrite("policies/p0.lua", "function on_grpc_message(h, m) m:set(m:bytes() .. '\\x12\\3new') end")
    proxy.wait_generation(2)
    assert caller.unary().backend == "new"
    orders.put(Order())
    assert next(call).backend == "old"
    orders.close()
    assert list(call) == []


def test_client_that_leaves_ends_the_hook(scripted):
    proxy, client, server = scripted("""
        local moon = require "moon"
        function on_grpc_message(h, m) moon.sleep(0.05) print("went on") end""")
    stream, connection, there = begin(client, server, message(b"a"))
    connection.send_data(there, message(b"b") * 3)
    client.reset(stream)
    connection.wait_for(lambda frame: frame.stream == there and frame.type == "RstStream", what="reset")
    other, connection, there = begin(client, server)
    connection.send_data(there, message(b"c"))
    eventually(lambda: client.body(other) == message(b"c"), what="the next call's message")
    assert sum("went on" in line for line in proxy.lines) <= 2
