"""Clients and upstreams that make the proxy work, or hold memory, for nothing (docs/reliability.md).

Each is cut off, counted and named in the log; meanwhile memory stays bounded, and a client that does nothing of the kind
has no failed call. `scripts/soak abuse` does the same for longer and measures.
"""
import contextlib
import pathlib
import time

import pytest

from harness.abuse_edge import AbusedEdge, CalmClient
from harness.abuses import (
    ATTACKS, END_HEADERS, END_STREAM, PADDED, REQUEST, RESET_CODES, attack, code_of, frame, made_reset, reset)
from harness.backend import Backend
from harness.frame_client import FrameClient, request
from harness.frame_upstream import OK, RESPONSE, FrameUpstream
from harness.frames import ENHANCE_YOUR_CALM, message
from harness.proxy import Moongate
from harness.settings import configuration, route
from harness.waiting import eventually

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
MIB = 1 << 20
SECONDS = 8                       # at most, and only where an attack is not cut off
MEMORY = {"streams beyond the limit": 96 * MIB, "large CONTINUATION": 24 * MIB}
# By default, first windows of all streams fit.
LIMITS = {"response_buffer": "1MiB"}


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    server = Backend()
    made = AbusedEdge(tmp_path_factory.mktemp("abuse"), server.address, limits=LIMITS)
    yield made
    code = made.stop()
    server.stop()
    assert code >= 0, "\n".join(made.proxy.lines[-80:])
    found = [line for line in made.proxy.lines if "Sanitizer" in line]
    assert not found, "\n".join(made.proxy.lines[-200:])


def line_about(edge, kind):
    """The log line that names an attacker; others of the same kind may have had the lines that there are for a while."""
    def find():
        return next((entry for entry in edge.proxy.log_entries() if entry.get("kind") == kind), None)

    return eventually(find, what=f"a line about {kind}")


LOGGED = {attack.kind for attack in ATTACKS.values()} - {None, "handshakes", "connections", "pending_handshakes",
                                                         "handshake_timeout"}


@pytest.mark.figures
@pytest.mark.parametrize("name", ATTACKS)
def test_abuse_is_cut_off_and_others_do_not_suffer(edge, name):
    kind = ATTACKS[name].kind
    ends = kind not in (None, "handshakes")
    before, memory = edge.counted(name) if ends else 0, edge.proxy.resident_bytes()
    with CalmClient(edge.proxy.bound["calm"]) as calm:
        cpu, octets = edge.proxy.cpu_seconds(), edge.received(name)
        result = edge.attack(name, SECONDS if ends else 1.5, once=True).result()
        peak = edge.proxy.resident_bytes() - memory
        used = edge.proxy.cpu_seconds() - cpu
        octets = edge.received(name) - octets
    print(f"{name}: {result}, {octets:.0f} octets, {used * 1e6 / max(1, result['frames']):.2f} µs of CPU a frame, "
          f"{peak / MIB:.1f} MiB, p99 beside it {calm.p99 * 1000:.1f} ms")
    assert not calm.failures
    assert len(calm.times) > 5
    assert peak < MEMORY.get(name, 16 * MIB)
    if not ends:
        assert not result["cut_off"]
        return
    assert result["cut_off"], result
    eventually(lambda: edge.counted(name) > before, what=f"{kind} is counted")
    if kind in LOGGED:
        entry = line_about(edge, kind)
        assert entry["listener"] == "attacked" and entry["remote"].startswith("127.0.0.1:")
        if kind not in ("slow_body", "unread_output"):
            assert ENHANCE_YOUR_CALM in result["codes"]


def test_the_log_has_a_few_lines_however_many_are_cut_off(edge):
    lines = len(edge.proxy.lines)
    for _ in range(30):
        attack("PING", edge.address("PING"), 5, only_once=True)
    assert edge.counted("PING") >= 30
    said = [entry for entry in edge.proxy.log_entries(lines) if entry.get("kind") == "ping_flood"]
    assert len(said) <= 6
    with CalmClient(edge.proxy.bound["calm"]) as calm:
        time.sleep(0.2)
    assert not calm.failures


def test_who_works_may_ask_as_much_as_comes_with_the_work(between):
    """A PING and two updates for each DATA, as gRPC clients send them, and a stream reset now and then."""
    _, client, server = between
    stream = client.open()
    connection, head = server.next_request()
    for _ in range(40):
        client.send_raw(b"".join(
            frame(DATA, 0, stream, message(b"12345")) + frame(PING, 0, 0, b"12345678")
            + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") + frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\1") for _ in range(100)))
    client.send_data(stream, b"", end_stream=True)
    connection.wait_end(head.stream, timeout=15)
    connection.respond(head.stream)
    assert client.end(stream, timeout=10).get("grpc-status") == "0"


def test_limits_can_be_set(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "limits": {"control_frames": 10, "resets": 10}}]))
    client = connect(proxy.address)
    client.send_raw(frame(PING, 0, 0, b"12345678") * 10)
    client.wait_for(lambda f: f.type == "Ping" and "ACK" in f.flags)
    client.send_raw(frame(PING, 0, 0, b"12345678") * 5)
    assert client.expect("GoAway").code == ENHANCE_YOUR_CALM
    other = connect(proxy.address)
    with contextlib.suppress(OSError):
        for _ in range(100):
            other.reset(other.open())
    assert other.expect("GoAway").code == ENHANCE_YOUR_CALM
    assert proxy.metric("moongate_downstream_abuse_total", kind="rapid_reset", listener="main") == 1


# MARK: Resets

RESETS = 100


@pytest.fixture
def few_resets(moongate, upstream, connect):
    """A proxy that takes 100 resets in a row before an upstream with this script; gives it and a client."""
    def start(script=None):
        proxy = moongate(configuration(upstream(script).address, listeners=[
            {"name": "main", "address": "127.0.0.1:0", "limits": {"resets": RESETS}}]))
        return proxy, connect(proxy.address)

    return start


def streams_until_cut_off(client, make, most=1500):
    """How many streams the proxy takes before it ends the connection; ten at a time, and the next ten when it has seen them."""
    opened = 0
    with contextlib.suppress(OSError):
        while opened < most:
            streams = [client.new_stream() for _ in range(10)]
            opened += len(streams)
            client.send_raw(b"".join(make(stream) for stream in streams) + frame(PING, 0, 0, b"%08d" % opened))
            answer = client.wait_for(lambda f: f.type == "GoAway" or f.type == "Ping" and f.data == b"%08d" % opened)
            if answer.type == "GoAway":
                break
    return opened


def counted_once(proxy, kind):
    eventually(lambda: proxy.metric("moongate_downstream_abuse_total", kind=kind, listener="main") == 1)


@pytest.mark.parametrize("make", [
    *(pytest.param(lambda stream, code=code: reset(stream, code), id=f"{code:#x}") for code in RESET_CODES),
    pytest.param(lambda stream: reset(stream, code_of(stream)), id="mixed"),
    pytest.param(lambda stream: reset(stream, 0 if stream % 4 == 1 else 8), id="NO_ERROR and CANCEL"),
])
def test_streams_that_are_reset_before_a_response_are_limited_whatever_the_code(few_resets, make):
    proxy, client = few_resets()
    # A few come back with time.
    assert RESETS <= streams_until_cut_off(client, make) <= RESETS + 50
    assert client.expect("GoAway").code == ENHANCE_YOUR_CALM
    counted_once(proxy, "rapid_reset")


@pytest.mark.parametrize("code", [0, 8, 0xffffffff])
def test_resets_earn_nothing_for_mistakes_that_have_streams_reset(few_resets, code):
    proxy, client = few_resets()
    taken = streams_until_cut_off(
        client, lambda stream: made_reset(stream) if stream % 4 == 1 else reset(stream, code))
    assert 2 * RESETS <= taken <= 2 * RESETS + 100
    assert client.expect("GoAway").code == ENHANCE_YOUR_CALM
    eventually(lambda: sum(
        proxy.metric("moongate_downstream_abuse_total", kind=kind, listener="main")
        for kind in ("rapid_reset", "made_you_reset")) == 1)


def answer_early(connection, head):
    """The whole answer, while the request goes on."""
    connection.send_headers(head.stream, [*RESPONSE, *OK], end_stream=True)


def answer_early_and_stop(connection, head):
    """The same, and the rest of the request is not wanted (RFC 9113 §8.1): the edge says so to the client."""
    answer_early(connection, head)
    connection.reset(head.stream, 0)


def complete_calls(client, count, then):
    """Opens calls, 50 at a time, waits for their answers, and does with each stream what `then` says."""
    for _ in range(count // 50):
        streams = [client.new_stream() for _ in range(50)]
        client.send_raw(b"".join(frame(HEADERS, END_HEADERS, stream, REQUEST) for stream in streams))
        eventually(lambda: client.closed or sum(f.type == "Headers" and f.ends_stream for f in list(client.frames)) >= 50, 20,
                   interval=0.001, what="all answers")
        assert not client.closed, [f.type for f in client.frames][-5:]
        client.frames.clear()
        client.send_raw(b"".join(then(stream) for stream in streams))


def rst(stream, code):
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def not_cut_off(proxy, client):
    client.ping()
    client.expect("Ping")
    assert not [f for f in client.frames if f.type == "GoAway"]
    assert proxy.metric("moongate_downstream_abuse_total") == 0


def test_calls_that_are_complete_and_then_reset_by_the_client_go_on_for_ever(few_resets):
    proxy, client = few_resets(answer_early)
    complete_calls(client, 10_000, lambda stream: rst(stream, code_of(stream)))
    not_cut_off(proxy, client)


def test_calls_that_are_complete_and_then_reset_by_the_edge_go_on_for_ever(few_resets):
    proxy, client = few_resets(answer_early_and_stop)
    complete_calls(client, 10_000, lambda stream: b"")
    not_cut_off(proxy, client)


@pytest.mark.parametrize("script, then", [
    (answer_early, lambda stream: frame(DATA, END_STREAM, stream)),
    (answer_early_and_stop, lambda stream: b""),
], ids=["ended", "reset by the edge"])
def test_a_complete_call_earns_one_that_is_given_up(few_resets, script, then):
    proxy, client = few_resets(script)

    def one_more(stream):
        return then(stream) + reset(client.new_stream(), 8)

    complete_calls(client, 2000, one_more)
    not_cut_off(proxy, client)


def test_a_request_whose_body_does_not_come_is_answered(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "connection": {"request_body_timeout": "1s"}}]))
    client = connect(proxy.address)
    # One that has an answer may be silent, and so may one that is complete, or between two messages.
    spoken, complete, silent, quiet = client.open(), client.open(end_stream=True), client.open(), client.open()
    page = client.open(request("/", content_type="text/plain"))
    client.send_data(silent, message(b"12345678")[:9])
    client.send_data(quiet, message(b"12345678"))
    client.send_data(page, b"half of it")
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    client.expect("Headers", spoken)
    end = client.end(silent, timeout=10)
    assert end.get("grpc-status") == "4" and "request_body_timeout" in end.get("grpc-message")
    assert client.expect("Headers", page).get(":status") == "408"
    time.sleep(1.5)
    assert not [f for f in client.of_stream(spoken) if f.ends_stream or f.type == "RstStream"]
    assert not client.of_stream(complete) and not client.of_stream(quiet)
    assert proxy.metric("moongate_downstream_abuse_total", kind="slow_body", listener="main") == 2


def test_a_body_has_to_come_also_after_idle_time(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "connection": {"request_body_timeout": "400ms"}}]))
    client = connect(proxy.address)
    for _ in range(2):
        whole = client.open(end_stream=True)
        connection, head = server.next_request()
        connection.respond(head.stream)
        assert client.end(whole).get("grpc-status") == "0"
        time.sleep(1)
        page = client.open(request("/", content_type="text/plain"))
        client.send_data(page, b"half of it")
        server.next_request()
        assert client.expect("Headers", page, timeout=5).get(":status") == "408"
    assert proxy.metric("moongate_downstream_abuse_total", kind="slow_body", listener="main") == 2


def test_a_message_that_a_hook_waits_for_has_to_come(moongate, upstream, connect):
    server = upstream()
    waits = {"name": "waits", "lua": "function on_request(h) h:body() end"}
    proxy = moongate(configuration(server.address, routes=[route(policies=[waits])], listeners=[
        {"name": "main", "address": "127.0.0.1:0", "connection": {"request_body_timeout": "500ms"}}]))
    client = connect(proxy.address)
    end = client.end(client.open(), timeout=10)
    assert end.get("grpc-status") == "4" and "request_body_timeout" in end.get("grpc-message")
    assert not server.heads()


def test_a_client_that_takes_its_responses_is_not_stalled_however_much_there_is(moongate, upstream, connect):
    """Far more than the budget waits, but the windows open all the time."""
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "limits": {"response_buffer": "64KiB"}}]))
    client = connect(proxy.address, settings={0x4: 0}, refill=False)
    streams = [client.open(end_stream=True) for _ in range(120)]
    for _ in streams:
        connection, head = server.next_request()
        connection.send_headers(head.stream, RESPONSE)
        connection.send_data(head.stream, message(b"x" * 4000))        # within the first window
        connection.send_headers(head.stream, OK, end_stream=True)
    for _ in range(3):
        for stream in streams:
            client.grant(stream, 1100)
        time.sleep(1.3)
    for stream in streams:
        client.grant(stream, 100_000)
        assert client.end(stream).get("grpc-status") == "0"
    assert proxy.metric("moongate_downstream_abuse_total", kind="stalled_response") == 0


# MARK: Upstreams

def flood(octets, chunk=200, limit=200_000):
    """Sends the frames until the proxy ends the connection."""
    def run(connection, stream):
        for _ in range(limit // chunk):
            connection.send_raw(octets * chunk)
            if connection.closed:
                return
    return run


def block_flood(make):
    def run(connection, stream):
        for _ in range(3000):
            connection.send_raw(make(stream))
            if connection.closed:
                return
    return run


def beginning(*frames):
    """The response's head, then what `frames` give for the stream."""
    def run(connection, stream):
        connection.send_headers(stream, RESPONSE)
        flood(b"".join(make(stream) for make in frames), chunk=100)(connection, stream)
    return run


def huge_trailers(connection, stream):
    connection.send_headers(stream, RESPONSE)
    connection.send_raw(frame(HEADERS, END_STREAM, stream))
    for _ in range(90):
        connection.send_raw(frame(CONTINUATION, 0, stream, b"\0\x01a\x7f\x81\x7c" + b"x" * 16000))


UPSTREAM_ABUSES = {
    "PING": ("ping_flood", flood(frame(PING, 0, 0, b"12345678"))),
    "PING ACK": ("ping_flood", flood(frame(PING, 1, 0, b"12345678"))),
    "SETTINGS": ("settings_flood", flood(frame(SETTINGS))),
    "PRIORITY": ("priority_flood", flood(frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"))),
    "WINDOW_UPDATE": ("window_update_flood", flood(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"))),
    "unknown frames": ("stray_frames", flood(frame(0x42, 0, 0, b"?"))),
    "GOAWAY": ("stray_frames", flood(frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0"))),
    "RST_STREAM for a stream that is gone": (
        "stray_frames", lambda c, s: (c.reset(s), flood(frame(RST_STREAM, 0, s, b"\0\0\0\x08"))(c, s))),
    "CONTINUATION": ("continuation_flood", lambda c, s: (
        c.send_raw(frame(HEADERS, 0, s, b"\x88")), flood(frame(CONTINUATION, 0, s))(c, s))),
    "empty DATA": ("empty_data_flood", beginning(lambda s: frame(DATA, 0, s))),
    "padding alone": ("empty_data_flood", beginning(lambda s: frame(DATA, PADDED, s, b"\x03\0\0\0"))),
    "one octet a frame": ("tiny_data_flood", beginning(lambda s: frame(DATA, 0, s, b"\0"))),
    "1xx heads": ("informational_flood", block_flood(lambda s: frame(HEADERS, END_HEADERS, s, b"\x08\x03103"))),
    "huge trailers": ("continuation_flood", huge_trailers),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A proxy before one upstream that will misbehave and one that does not."""
    bad, good = FrameUpstream(), Backend()
    proxy = Moongate(tmp_path_factory.mktemp("pair"), configuration(
        upstreams={"bad": [bad.address], "good": [good.address]},
        routes=[{"name": "good", "match": {"service": "helloworld.Greeter"}, "upstream": "good"},
                {"name": "bad", "upstream": "bad", "timeout": "20s"}]))
    yield proxy, bad
    code = proxy.stop()
    bad.close()
    good.stop()
    assert code >= 0, "\n".join(proxy.lines[-80:])


@pytest.mark.parametrize("name", UPSTREAM_ABUSES)
def test_an_upstream_that_floods_is_let_go_and_its_call_fails_clearly(pair, name):
    proxy, server = pair
    kind, run = UPSTREAM_ABUSES[name]
    before, memory = proxy.metric("moongate_upstream_abuse_total", kind=kind), proxy.resident_bytes()
    client = FrameClient(proxy.address)
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    with CalmClient(proxy.address) as calm:
        try:
            run(connection, head.stream)
        except OSError:
            pass
        connection.wait_closed(timeout=20)
        last = client.end(stream, timeout=20)
    assert not calm.failures
    if "gone" not in name:
        # A message may have been cut: then there is only a reset.
        assert last.get("grpc-status") == "14" or last.type == "RstStream"
        if last.get("grpc-status") == "14":
            assert "HTTP/2 violation: " in last.get("grpc-message")
    eventually(lambda: proxy.metric("moongate_upstream_abuse_total", kind=kind, upstream="bad") > before)
    eventually(lambda: [e for e in proxy.log_entries() if e.get("kind") == kind and e["upstream"] == "bad"
                        and e["endpoint"] == server.address], what="a line in the log")
    assert proxy.resident_bytes() - memory < 24 * MIB
    # Another call gets another connection.
    again = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(again).get("grpc-status") == "0"
    client.close()


@pytest.mark.slow
def test_an_upstream_that_does_not_finish_its_headers_is_let_go(pair):
    proxy, server = pair
    client = FrameClient(proxy.address)
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    connection.send_raw(frame(HEADERS, 0, head.stream, b"\x88"))
    last = client.end(stream, timeout=25)
    assert last.get("grpc-status") == "14" and "header section" in last.get("grpc-message")
    assert proxy.metric("moongate_upstream_abuse_total", kind="slow_headers", upstream="bad") == 1
    client.close()


def test_an_upstream_that_gives_up_many_calls_is_not_abusive(pair):
    """Resets answer what we have asked, however many there are."""
    proxy, server = pair
    client = FrameClient(proxy.address)
    known = len(server.connections)
    for _ in range(15):
        streams = [client.open(request(), end_stream=True) for _ in range(100)]
        for _ in streams:
            connection, head = server.next_request(timeout=15)
            connection.reset(head.stream, 0x2)
        for stream in streams:
            assert client.end(stream, timeout=15).get("grpc-status") == "13"
    assert len(server.connections) <= known + 1
    client.close()


def test_the_table_in_the_documentation_has_every_kind(pair):
    proxy, _ = pair
    text = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    kinds = {sample.labels["kind"] for sample in proxy.samples() if sample.name == "moongate_downstream_abuse_total"}
    assert len(kinds) == 17
    assert not [kind for kind in kinds if f"`{kind}`" not in text]
