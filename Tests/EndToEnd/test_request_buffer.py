"""What the requests of one connection may hold: `limits.request_buffer` (docs/reliability.md)."""
import contextlib
import os
import threading

from harness.frame_client import request
from harness.frames import CANCEL, INITIAL_WINDOW_SIZE, NO_ERROR, REFUSED_STREAM, message
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.waiting import eventually

SANITIZER = os.environ.get("MOONGATE_SANITIZER")     # its own accounts are in memory, too
MIB = 1 << 20
KIB = 1 << 10
LISTENER = {"name": "main", "address": "127.0.0.1:0"}


def limited(size):
    return [LISTENER | {"limits": {"request_buffer": size}}]


def pour(client, streams, size):
    """Sends as much of bodies of `size` octets as the windows allow, in turns, until nothing goes any more."""
    return {stream: len(rest) for stream, rest in client.pour(dict.fromkeys(streams, b"x" * size)).items()}


def test_uploads_that_nobody_takes_are_held_up_to_the_limit(moongate, upstream, connect):
    server = upstream(settings={INITIAL_WINDOW_SIZE: 0}, refill=False)
    proxy = moongate(configuration(server.address))
    client = connect(proxy.address)
    first = client.open()
    client.send_data(first, b"x")
    eventually(lambda: server.heads(), what="the request")
    before = proxy.resident_bytes()
    streams = [client.open() for _ in range(90)]
    left = pour(client, streams, 256 * KIB)
    taken = sum(256 * KIB - rest for rest in left.values())
    # The connection's window is 1 MiB beyond what is held.
    assert 4 * MIB < taken < 5.6 * MIB
    assert SANITIZER or proxy.resident_bytes() - before < 12 * MIB
    # Others do not notice, and neither does a stream that needs no window.
    other = connect(proxy.address)
    quick = other.open(end_stream=True)
    mine = client.open(end_stream=True)
    for _ in range(2 + len(streams) + 1):
        connection, head = server.next_request()
        if head.get(":path") and "END_STREAM" in head.flags:
            connection.respond(head.stream)
    assert other.end(quick).get("grpc-status") == "0"
    assert client.end(mine).get("grpc-status") == "0"
    # As soon as the upstream takes them, all go on.
    connection.change_settings({INITIAL_WINDOW_SIZE: MIB})
    connection.grant(0, 64 * MIB)
    rest = pour(client, streams, max(left.values()))
    assert not any(rest.values())


def test_streams_that_end_make_room(moongate, upstream, connect):
    server = upstream(settings={INITIAL_WINDOW_SIZE: 0}, refill=False)
    proxy = moongate(configuration(server.address, listeners=limited("256KiB")))
    client = connect(proxy.address)
    streams = [client.open() for _ in range(12)]
    left = pour(client, streams, 200 * KIB)
    assert sum(left.values()) > 0
    for stream in streams[:10]:
        client.reset(stream)
    assert not any(pour(client, streams[10:], max(left.values())).values())


def test_what_is_kept_for_another_attempt_does_not_hold_the_window(moongate, upstream, connect):
    """All of these are answered after their last octet only: a window that stayed closed would be one for ever."""
    def answer_at_the_end(connection, head):
        threading.Thread(
            target=lambda: (connection.wait_end(head.stream, 20), connection.respond(head.stream)), daemon=True).start()

    server = upstream(answer_at_the_end)
    retry = {"max_attempts": 2, "on": ["unavailable"], "buffer": "256KiB"}
    proxy = moongate(configuration(server.address, routes=[route(retry=retry)], listeners=limited("256KiB")))
    client = connect(proxy.address)
    streams = [client.open() for _ in range(20)]
    assert not any(pour(client, streams, 128 * KIB).values())
    for stream in streams:
        client.send_data(stream, b"", end_stream=True)
    for stream in streams:
        assert client.end(stream, 20).get("grpc-status") == "0"


def test_policies_collect_for_one_connection_as_much_as_the_limit_allows(moongate, upstream, connect):
    server = upstream(answer_ok)
    waits = {"name": "waits", "lua": "function on_request(h) h:body() end"}
    proxy = moongate(configuration(server.address, routes=[route(policies=[waits])], listeners=limited("1MiB")))
    client = connect(proxy.address)
    streams = [client.open() for _ in range(40)]
    pour(client, streams, 100 * KIB)
    # Once that is answered, all that came before has been handled.
    client.ping(b"all done")
    client.wait_for(lambda frame: frame.type == "Ping" and frame.data == b"all done", 20)
    refused = [stream for stream in streams if client.of_stream(stream)]
    assert 10 < len(refused) < len(streams)
    for stream in refused:
        end = client.end(stream)
        assert end.get("grpc-status") == "8" and "request_buffer" in end.get("grpc-message")
    assert proxy.metric("moongate_downstream_abuse_total", kind="collected_request", listener="main") == len(refused)
    for stream in set(streams) - set(refused):
        client.send_data(stream, b"", end_stream=True)
        assert client.end(stream).get("grpc-status") == "0"


def test_a_message_that_policies_wait_for_counts_as_collected(moongate, upstream, connect):
    server = upstream()
    looks = {"name": "looks", "lua": "function on_grpc_message(h, m) end"}
    proxy = moongate(configuration(server.address, routes=[route(policies=[looks])], listeners=limited("1MiB")))
    client = connect(proxy.address)
    whole = message(b"m" * (200 * KIB))
    streams = [client.open(request(extra=[("x-number", str(number))])) for number in range(40)]
    left = client.pour(dict.fromkeys(streams, whole[:100 * KIB]))
    client.ping(b"all done")
    client.wait_for(lambda frame: frame.type == "Ping" and frame.data == b"all done", 20)
    refused = [stream for stream in streams if client.of_stream(stream)]
    assert 10 < len(refused) < len(streams) - 4
    for stream in refused:
        end = client.end(stream)
        assert end.get("grpc-status") == "8" and "request_buffer" in end.get("grpc-message")
    assert proxy.metric("moongate_downstream_abuse_total", kind="collected_request", listener="main") == len(refused)
    # All but four make room, and these complete their messages one after the other: ever more would be beyond the limit again.
    others = sorted(set(streams) - set(refused))
    for stream in others[:-4]:
        client.reset(stream)
    connection = server.connection()
    theirs = {int(head.get("x-number")): head.stream for head in connection.heads()}
    for stream in others[-4:]:
        client.send_allowed(stream, left[stream] + whole[100 * KIB:], end_stream=True)
        number = theirs[streams.index(stream)]
        connection.wait_end(number)
        assert connection.body(number) == whole
        connection.respond(number)
        assert client.end(stream).get("grpc-status") == "0"


def test_one_body_may_be_as_large_as_policies_take(moongate, upstream, connect):
    server = upstream(answer_ok)
    waits = {"name": "waits", "lua": "function on_request(h) h:body() end"}
    proxy = moongate(configuration(
        server.address, routes=[route(policies=[waits])], listeners=limited("64KiB"), policies={"body_limit": "4MiB"}))
    client = connect(proxy.address)
    stream = client.open()
    assert not any(pour(client, [stream], 3 * MIB).values())
    client.send_data(stream, b"", end_stream=True)
    assert client.end(stream, 20).get("grpc-status") == "0"


def test_heads_beyond_the_limit_are_refused_until_others_end(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=limited("64KiB")))
    client = connect(proxy.address)
    large = request(extra=[("x-large", "v" * 20_000)])
    streams = [client.open(large, end_stream=True) for _ in range(6)]
    for stream in streams[4:]:
        assert client.end(stream).code == REFUSED_STREAM
    for _ in range(4):
        connection, head = server.next_request()
        connection.respond(head.stream)
    for stream in streams[:4]:
        assert client.end(stream).get("grpc-status") == "0"
    again = client.open(large, end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(again).get("grpc-status") == "0"


def test_heads_are_given_back_whatever_ends_a_stream(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=limited("64KiB")))
    client = connect(proxy.address)
    for _ in range(30):
        stream = client.open(request(extra=[("x-large", "v" * 20_000)]), end_stream=True)
        client.reset(stream, CANCEL)
    fine = client.open(request(extra=[("x-large", "v" * 20_000)]), end_stream=True)
    eventually(lambda: any(h.get("x-large") for h in server.heads()), what="the request")
    with contextlib.suppress(AssertionError):
        while True:
            connection, head = server.next_request(0.5)
            connection.respond(head.stream)
    end = client.end(fine)
    assert end.code in (None, NO_ERROR) and end.get("grpc-status") == "0"
