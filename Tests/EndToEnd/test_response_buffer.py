"""What the responses to one connection may hold, and the windows that they get: `limits.response_buffer` (docs/reliability.md)."""
import os
import time

import pytest

from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, message
from harness.settings import configuration, route
from harness.waiting import eventually

SANITIZER = os.environ.get("MOONGATE_SANITIZER")     # its own accounts are in memory, too
MIB = 1 << 20
KIB = 1 << 10
# What a response may have under way: at first, where a large one is expected, and once its client takes some.
FIRST, EXPECTED, LARGE = 4 * KIB, 64 * KIB, 256 * KIB
COLLECTS = "function on_response(h) h:body() end"
LOOKS = "function on_grpc_message(h, m) end"


@pytest.fixture
def edge(moongate, upstream):
    """Starts a proxy with this `response_buffer`, and a policy with this text for all but `/plain`; gives proxy and upstream."""
    def start(buffer="4MiB", text=None, **policies):
        server = upstream(settings={MAX_CONCURRENT_STREAMS: 10_000})
        listener = {"name": "main", "address": "127.0.0.1:0", "limits": {"response_buffer": buffer}}
        routes = [route(name="plain", match={"path": "/plain"}),
                  route(policies=[{"name": "waits", "lua": text}] if text else [])]
        more = {"policies": policies} if policies else {}
        return moongate(configuration(server.address, routes=routes, listeners=[listener], **more)), server

    return start


def begin(client, server, count, of=None, headers=()):
    """So many requests whose responses have begun: the connection to the upstream, and the client's streams by the upstream's."""
    calls = {}
    for _ in range(count):
        stream = client.open(of, end_stream=True)
        connection, head = server.next_request()
        connection.send_headers(head.stream, RESPONSE + list(headers))
        calls[head.stream] = stream
    return connection, calls


def finish(connection):
    return lambda stream: connection.send_headers(stream, OK, end_stream=True)


def all_arrive(client, calls, bodies):
    for theirs, stream in calls.items():
        assert client.end(stream).get("grpc-status") == "0"
        assert client.body(stream) == bodies[theirs]


def handled(connection):
    """Waits until the proxy has handled what was sent to it so far, and its frames from before that are here."""
    handled.count = getattr(handled, "count", 0) + 1
    payload = b"%08d" % handled.count
    connection.ping(payload)
    connection.wait_for(lambda frame: frame.type == "Ping" and frame.data == payload)


def all_room_is_back(client, server, limit=MIB):
    """The client may have as many large windows as fit the limit to the octet."""
    connection, calls = begin(client, server, limit // LARGE, request(path="/plain"))
    for theirs in calls:
        connection.send_allowed(theirs, b"x" * 60_000)
    eventually(lambda: all(connection.allowance(theirs) >= LARGE - 60_000 for theirs in calls), what="large windows")
    for theirs, stream in calls.items():
        connection.send_headers(theirs, OK, end_stream=True)
        assert client.end(stream).get("grpc-status") == "0"


def stalled(proxy):
    return proxy.metric("moongate_downstream_abuse_total", kind="stalled_response", listener="main")


# MARK: Clients that take nothing

def test_a_thousand_responses_that_nobody_takes_hold_no_more_than_the_limit(edge, connect):
    """Their first windows are all that they hold, so that nothing needs to be reset."""
    proxy, server = edge()
    client, other = connect(proxy.address, settings={INITIAL_WINDOW_SIZE: 0}), connect(proxy.address)
    connection, calls = begin(client, server, 1000)
    before = proxy.resident_bytes()
    bodies = {theirs: bytes([number % 256]) * (8 * KIB) for number, theirs in enumerate(calls)}
    left = connection.pour(bodies)
    assert 3 * MIB < connection.sent[0] <= 4 * MIB
    # Longer than a response may be stalled beyond the limit.
    time.sleep(3)
    grown = proxy.resident_bytes() - before
    assert SANITIZER or grown < 6 * MIB, f"{grown / MIB:.1f} MiB"
    stream = other.open(end_stream=True)
    further, head = server.next_request()
    further.respond(head.stream, message(b"o" * 100_000))
    assert other.end(stream).get("grpc-status") == "0" and len(other.body(stream)) == 100_005
    assert stalled(proxy) == 0 and not any(frame.type in ("RstStream", "GoAway") for frame in client.frames + connection.frames)
    client.change_settings({INITIAL_WINDOW_SIZE: MIB})
    assert not any(connection.pour(left, finish(connection)).values())
    all_arrive(client, calls, bodies)
    all_room_is_back(client, server, 4 * MIB)


def test_first_windows_count_for_the_limit(edge, connect):
    """Two hundred open streams have 800 KiB of 1 MiB: there is no large window until some end."""
    proxy, server = edge("1MiB")
    client = connect(proxy.address)
    connection, calls = begin(client, server, 200)
    theirs = max(calls)
    connection.send_allowed(theirs, b"x" * (40 * KIB))
    eventually(lambda: len(client.body(calls[theirs])) == 40 * KIB, what="what was sent")
    handled(connection)
    assert 0 < connection.allowance(theirs) <= FIRST
    for ending in sorted(calls)[:20]:
        connection.send_headers(ending, OK, end_stream=True)
        assert client.end(calls[ending]).get("grpc-status") == "0"
    connection.send_allowed(theirs, b"x" * (8 * KIB))
    eventually(lambda: connection.allowance(theirs) > FIRST, what="a large window")


# MARK: Windows that are opened ahead

def ahead(connection, stream):
    """By how much the window of a request without a response yet is larger than the first one."""
    handled(connection)
    assert connection.sent[stream] == 0
    return connection.granted[stream]


def respond(client, connection, stream, theirs, body):
    connection.respond(theirs, body)
    assert client.end(stream).get("grpc-status") == "0" and client.body(stream) == body


def test_after_a_large_response_sixteen_requests_get_a_larger_window_at_once(edge, connect):
    proxy, server = edge()
    client = connect(proxy.address)

    def call(body):
        stream = client.open(end_stream=True)
        connection, head = server.next_request()
        granted = ahead(connection, head.stream)
        respond(client, connection, stream, head.stream, body)
        return granted

    small, large = message(b"s" * 2000), message(b"l" * 100_000)
    assert [call(small) for _ in range(3)] == [0, 0, 0]
    assert call(large) == 0
    assert [call(small) for _ in range(18)] == [EXPECTED - FIRST] * 16 + [0] * 2
    # Each large one begins the count again. One that is just beyond the first window is large.
    assert call(message(b"l" * FIRST)) == 0
    assert [call(small) for _ in range(10)] == [EXPECTED - FIRST] * 10
    assert call(large) == EXPECTED - FIRST
    assert [call(small) for _ in range(17)] == [EXPECTED - FIRST] * 16 + [0]


def test_the_larger_window_comes_right_behind_the_request(edge, connect):
    """The server need not wait for it: what it has to send is on its way at once."""
    proxy, server = edge()
    client = connect(proxy.address)
    connection, calls = begin(client, server, 1)
    connection.pour({theirs: b"x" * (20 * KIB) for theirs in calls}, finish(connection))
    client.end(*calls.values())
    client.open(end_stream=True)
    connection, head = server.next_request()
    handled(connection)
    frames = connection.frames
    behind = frames[frames.index(head) + 1]
    assert (behind.type, behind.stream, behind.increment) == ("WindowUpdate", head.stream, EXPECTED - FIRST)


def test_windows_are_opened_ahead_while_there_is_room(edge, connect):
    """64 KiB are one such window."""
    proxy, server = edge("64KiB")
    client = connect(proxy.address)
    connection, calls = begin(client, server, 1)
    connection.pour({theirs: b"x" * (20 * KIB) for theirs in calls}, finish(connection))
    client.end(*calls.values())
    first, _ = client.open(end_stream=True), client.open(end_stream=True)
    heads = [server.next_request()[1] for _ in range(2)]
    assert [ahead(connection, head.stream) for head in heads] == [EXPECTED - FIRST, 0]
    # What has ended gives its room to the next.
    connection.respond(heads[0].stream)
    client.end(first)
    connection.respond(heads[1].stream)
    client.end(first + 2)
    client.open(end_stream=True)
    _, head = server.next_request()
    assert ahead(connection, head.stream) == EXPECTED - FIRST


# MARK: What policies collect

def collect(client, server, size, part):
    """Forty responses of so many octets begin, and as much of their first `part` as is taken, in turns. What was taken, and a
    function that sends the rest."""
    connection, calls = begin(client, server, 40)
    bodies = {theirs: message(bytes([number]) * (size - 5)) for number, theirs in enumerate(calls)}
    before = connection.sent[0]
    left = connection.pour({theirs: body[:part] for theirs, body in bodies.items()})

    def rest():
        assert not any(connection.pour(
            {theirs: left[theirs] + body[part:] for theirs, body in bodies.items()}, finish(connection), quiet=5).values())
        all_arrive(client, calls, bodies)

    return connection.sent[0] - before, rest


@pytest.mark.parametrize("text, size, part", [(COLLECTS, 100 * KIB, 100 * KIB), (LOOKS, 200 * KIB, 100 * KIB)],
                         ids=["bodies", "messages"])
def test_responses_that_policies_collect_wait_for_room(edge, connect, text, size, part):
    """One at a time goes beyond the limit, or none would ever be complete."""
    proxy, server = edge("1MiB", text)
    client = connect(proxy.address)
    for _ in range(2):
        taken, rest = collect(client, server, size, part)
        # Without a limit it would be 4,000 KiB.
        assert 400 * KIB < taken <= MIB + size + 40 * FIRST, f"{taken / KIB:.0f} KiB"
        rest()
    assert stalled(proxy) == 0
    all_room_is_back(client, server)


def test_collected_responses_that_are_reset_make_room(edge, connect):
    """The one that had gone beyond the limit is among them."""
    proxy, server = edge("1MiB", COLLECTS)
    client = connect(proxy.address)
    connection, calls = begin(client, server, 40)
    bodies = {theirs: message(bytes([number]) * (100 * KIB)) for number, theirs in enumerate(calls)}
    left = connection.pour(bodies)
    ending = [theirs for theirs in sorted(calls) if not left[theirs]] + [theirs for theirs in sorted(calls) if left[theirs]][::2]
    for theirs in ending:
        client.reset(calls.pop(theirs))
    assert not any(connection.pour({theirs: left[theirs] for theirs in calls}, finish(connection)).values())
    all_arrive(client, calls, bodies)
    all_room_is_back(client, server)


def test_streams_that_kept_nothing_make_room_as_well(edge, connect):
    """Their first windows count. The response that may go beyond the limit meanwhile does not go on at all."""
    proxy, server = edge("64KiB", COLLECTS)
    client = connect(proxy.address)
    connection, calls = begin(client, server, 14)
    beyond, waits, *others = sorted(calls)
    assert not any(connection.pour({beyond: b"x" * (20 * KIB)}).values())
    body = message(b"y" * (20 * KIB))
    left = connection.pour({waits: body})
    assert len(left[waits]) == len(body) - FIRST
    for theirs in others:
        connection.send_headers(theirs, OK, end_stream=True)
        assert client.end(calls[theirs]).get("grpc-status") == "0"
    assert not any(connection.pour(left, finish(connection)).values())
    all_arrive(client, {waits: calls[waits]}, {waits: body})


def test_another_response_goes_beyond_the_limit_once_the_first_has_ended(edge, connect):
    """The first has let go of all that it kept before it ends, and the others are beyond the limit without it."""
    proxy, server = edge("64KiB", """
        function on_response(h)
          if h:headers():get("x-whole") then h:body() else for _ in h:bodyChunks() do end end
        end""")
    client = connect(proxy.address, settings={INITIAL_WINDOW_SIZE: 0}, refill=False)
    connection, first = begin(client, server, 1)
    connection, calls = begin(client, server, 2, headers=[("x-whole", "1")])
    bodies = {theirs: message(bytes([theirs]) * (40 * KIB)) for theirs in calls}
    assert not any(connection.pour({theirs: body[:20 * KIB] for theirs, body in bodies.items()}).values())
    # Pieces that nobody takes are let through up to 64 KiB, and those behind them have their window still when the end comes.
    beyond, stream = next(iter(first.items()))
    assert connection.pour({beyond: b"x" * (100 * KIB)})[beyond]
    finish(connection)(beyond)
    begin(client, server, 8)
    size = connection.sent[beyond]
    client.grant(stream, size - 1)
    eventually(lambda: len(client.body(stream)) == size - 1, what="all but one octet")
    client.grant(stream, 1)
    assert client.end(stream).get("grpc-status") == "0"
    client.change_settings({INITIAL_WINDOW_SIZE: MIB})
    assert not any(connection.pour({theirs: body[20 * KIB:] for theirs, body in bodies.items()}, finish(connection)).values())
    all_arrive(client, calls, bodies)


@pytest.mark.parametrize("text", [COLLECTS, "function on_response(h) for c in h:bodyChunks() do end end",
                                  "function on_response(h) h:trailers() end"], ids=["whole", "pieces", "trailers"])
def test_responses_that_nobody_takes_are_bounded_behind_policies(edge, connect, text):
    """What policies are done with still counts, until the client has taken it."""
    proxy, server = edge("1MiB", text)
    client = connect(proxy.address, settings={INITIAL_WINDOW_SIZE: 0})
    connection, calls = begin(client, server, 40)
    bodies = {theirs: message(bytes([number]) * (100 * KIB)) for number, theirs in enumerate(calls)}
    before = connection.sent[0]
    done = set()

    def ended(theirs):
        finish(connection)(theirs)
        done.add(theirs)

    left = connection.pour(bodies, ended)
    taken = connection.sent[0] - before
    assert 400 * KIB < taken <= MIB + 100 * KIB + 40 * FIRST, f"{taken / KIB:.0f} KiB"
    time.sleep(3)
    rest = {theirs: left[theirs] for theirs in calls if theirs not in done}
    assert connection.pour(rest, quiet=0.2) == rest
    assert stalled(proxy) == 0
    client.change_settings({INITIAL_WINDOW_SIZE: MIB})
    assert not any(connection.pour(rest, ended, quiet=5).values())
    all_arrive(client, calls, bodies)
    all_room_is_back(client, server)


@pytest.mark.parametrize("text", [COLLECTS, LOOKS], ids=["body", "message"])
def test_one_collected_response_may_be_as_large_as_policies_take(edge, connect, text):
    proxy, server = edge("64KiB", text, body_limit="4MiB")
    client = connect(proxy.address)
    connection, calls = begin(client, server, 1)
    bodies = {theirs: message(b"b" * (3 * MIB)) for theirs in calls}
    assert not any(connection.pour(bodies, finish(connection)).values())
    all_arrive(client, calls, bodies)
