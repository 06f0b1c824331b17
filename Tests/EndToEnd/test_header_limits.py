"""SETTINGS_MAX_HEADER_LIST_SIZE of both sides (RFC 9113 §6.5.2, §10.5.1), and connections that servers end for an error.

Servers end their connection, with everybody's streams, for a head beyond the limit, and clients do likewise."""
import time

import pytest

from harness.frame_client import request
from harness.frame_upstream import RESPONSE
from harness.frames import CANCEL, MAX_HEADER_LIST_SIZE, NO_ERROR, PROTOCOL_ERROR, message
from harness.settings import configuration, route
from harness.waiting import eventually

LIMIT = 8192


def size(fields):
    return sum(len(name) + len(value) + 32 for name, value in fields)


def padded(octets):
    return request(extra=[("x-token", "t" * octets)])


@pytest.fixture
def limited(moongate, upstream, connect):
    """A proxy before an upstream that takes so much: `limited(limit)` gives proxy, client and upstream."""
    def start(limit=LIMIT, greet=True, of_upstream=None, **more):
        settings = None if limit is None else {MAX_HEADER_LIST_SIZE: limit}
        # Windows must not open before the first settings.
        server = upstream(settings=settings, greet=greet, refill=greet)
        proxy = moongate(configuration(
            upstreams={"main": {"endpoints": [server.address], **(of_upstream or {})}}, **more))
        return proxy, connect(proxy.address), server
    return start


def served(client, server, head=None):
    """Another request on the same connections."""
    stream = client.open(head, end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    return head


# MARK: Towards upstreams

def test_C10_a_head_that_the_upstream_does_not_take_fails_alone(limited, connect):
    proxy, client, server = limited()
    other = connect(proxy.address)
    beside = other.open()
    connection, head = server.next_request()
    connection.send_headers(head.stream, RESPONSE)
    refused = client.call(padded(9000))
    assert [frame.type for frame in refused] == ["Headers"]
    assert refused[0].get("grpc-status") == "8"
    text = refused[0].get("grpc-message")
    assert str(LIMIT) in text and any(9000 < int(word) < 9700 for word in text.split() if word.isdigit()), text
    plain = client.call(request(content_type="", extra=[("x-token", "t" * 9000)]))
    assert plain[0].get(":status") == "431"
    connection.send_data(head.stream, message(b"goes on"))
    other.expect("Data", beside)
    served(client, server)
    assert len(server.connections) == 1 and len(server.heads()) == 2


def test_C10_an_endpoint_that_takes_hardly_any_headers_draws_no_requests(moongate, upstream, connect):
    """It fails at once, and so has the fewest requests: each is tried elsewhere, and the endpoint is ejected."""
    good = upstream(script=lambda connection, head: connection.respond(head.stream))
    small = upstream(script=lambda connection, head: connection.respond(head.stream), settings={MAX_HEADER_LIST_SIZE: 100})
    proxy = moongate(configuration(upstreams={"main": {
        "endpoints": [small.address, good.address], "balance": "least_request",
        "outlier_detection": {"consecutive_errors": 5}}}))
    client = connect(proxy.address)
    # The server's settings have to come first.
    eventually(lambda: client.call() and proxy.metric("moongate_upstream_small_header_limits_total") > 0)
    for _ in range(50):
        assert client.call()[-1].get("grpc-status") == "0"
    eventually(lambda: proxy.metric("moongate_upstream_ejections_total", result="ejected") == 1)


def test_C10_what_counts_is_the_head_that_leaves(limited, moongate, connect, upstream):
    """To the octet, with what the edge itself has written into it."""
    edits = {"request_headers": {"set": {"x-edge": "e" * 100}}}
    proxy, client, server = limited(4000, routes=[route(**edits)])
    room = 4000 - size(served(client, server, padded(0)).headers)
    assert size(served(client, server, padded(room)).headers) == 4000
    assert client.call(padded(room + 1))[0].get("grpc-status") == "8"
    assert len(server.heads()) == 2


@pytest.mark.parametrize("limit, status", [(None, "0"), (1 << 20, "0"), (LIMIT, "8")])
def test_C10_a_large_head_waits_for_the_first_settings_and_small_ones_pass(limited, limit, status):
    _, client, server = limited(limit, greet=False)
    large = client.open(padded(9000), end_stream=True)
    connection = server.connection()
    small = client.open(padded(10), end_stream=True)
    head = connection.next_request()
    assert len(head.get("x-token")) == 10
    connection.greet()
    if status == "0":
        connection.respond(connection.next_request().stream)
    assert client.end(large).get("grpc-status") == status
    connection.respond(head.stream)
    assert client.end(small).get("grpc-status") == "0"
    assert len(server.connections) == 1


def test_C10_a_server_without_settings_is_waited_for_as_a_connection_is(limited):
    _, client, server = limited(greet=False, of_upstream={"connect_timeout": "200ms"})
    small = client.open(padded(10), end_stream=True)
    server.next_request()
    began = time.monotonic()
    refused = client.call(padded(9000))
    assert refused[0].get("grpc-status") == "14" and "SETTINGS" in refused[0].get("grpc-message")
    assert 0.15 < time.monotonic() - began < 3
    assert not client.of_stream(small)


def test_C10_who_gives_up_while_waiting_for_settings_is_forgotten(limited):
    _, client, server = limited(None, greet=False)
    gone = [client.open(padded(9000), end_stream=True) for _ in range(3)]
    stays = client.open(padded(9001), end_stream=True)
    connection = server.connection()
    for stream in gone:
        client.reset(stream)
    client.ping()
    client.expect("Ping")
    connection.greet()
    head = connection.next_request()
    assert len(head.get("x-token")) == 9001
    connection.respond(head.stream)
    assert client.end(stays).get("grpc-status") == "0"
    assert len(server.heads()) == 1


def test_C10_a_connection_that_ends_before_its_settings_fails_those_that_wait(limited):
    proxy, client, server = limited(None, greet=False)
    streams = [client.open(padded(9000), end_stream=True) for _ in range(3)]
    server.connection().close()
    eventually(lambda: len(server.connections) > 1 or all(
        any(frame.ends_stream for frame in client.of_stream(stream)) for stream in streams))
    for connection in list(server.connections)[1:]:
        connection.close()
    for stream in streams:
        client.reset(stream)
    client.ping()
    client.expect("Ping")
    assert proxy.running()


def test_C10_waiting_for_settings_counts_against_the_limit_of_those_that_wait(limited):
    proxy, client, server = limited(None, greet=False, of_upstream={"limits": {"max_pending_requests": 1}})
    small = client.open(padded(10), end_stream=True)
    server.next_request()
    waits = client.open(padded(9000), end_stream=True)
    refused = client.call(padded(9000))
    assert refused[0].get("grpc-status") == "14" and "max_pending_requests" in refused[0].get("grpc-message")
    assert proxy.metric("moongate_upstream_overflows_total", limit="max_pending_requests") == 1
    server.connection().greet()
    server.next_request()
    client.reset(small)
    client.reset(waits)


def test_C10_trailers_of_a_request_count_as_heads_do(limited):
    _, client, server = limited()
    beside = client.open()
    connection, _ = server.next_request()
    stream = client.open()
    client.send_data(stream, message(b"x"))
    _, theirs = server.next_request()
    client.send_headers(stream, [("x-sum", "s" * 9000)], end_stream=True)
    assert client.end(stream).get("grpc-status") == "8"
    assert connection.expect("RstStream", theirs.stream).code == CANCEL
    client.send_headers(beside, [("x-sum", "s" * 8000)], end_stream=True)
    assert connection.wait_end(1).get("x-sum") == "s" * 8000


def test_C10_large_trailers_wait_for_the_first_settings(limited):
    _, client, server = limited(None, greet=False)
    stream = client.open()
    client.send_data(stream, message(b"x"))
    connection, head = server.next_request()
    client.send_headers(stream, [("x-sum", "s" * 9000)], end_stream=True)
    connection.expect("Data", head.stream)
    client.ping()
    client.expect("Ping")
    assert not any(frame.ends_stream for frame in connection.of_stream(head.stream))
    connection.greet()
    assert connection.wait_end(head.stream).get("x-sum") == "s" * 9000
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


def test_C10_a_hedged_attempt_that_is_too_large_is_none(limited):
    hedge = {"methods": ["*/*"], "delay": "50ms"}
    proxy, client, server = limited(4000, routes=[route(hedge=hedge)])
    room = 4000 - size(served(client, server, padded(0)).headers)
    # Its second attempt would have one field more.
    stream = client.open(padded(room), end_stream=True)
    connection, head = server.next_request()
    eventually(lambda: proxy.metric("moongate_retries_total", route="all") == 1)
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    assert len(server.heads()) == 2


def test_C10_a_mirror_gets_no_head_that_it_does_not_take(moongate, upstream, connect):
    server, mirror = upstream(), upstream(settings={MAX_HEADER_LIST_SIZE: LIMIT})
    proxy = moongate(configuration(
        server.address, upstreams={"mirror": [mirror.address]}, routes=[route(mirror=[{"upstream": "mirror"}])]))
    client = connect(proxy.address)
    for octets in 10, 9000, 20:
        served(client, server, padded(octets))
    eventually(lambda: len(mirror.heads()) == 2)
    assert [len(head.get("x-token")) for head in mirror.heads()] == [10, 20]
    assert proxy.metric("moongate_mirror_dropped_total", reason="headers") == 1
    assert len(mirror.connections) == 1


def test_C10_a_policys_call_that_is_too_large_fails_alone(moongate, upstream, connect):
    server = upstream(settings={MAX_HEADER_LIST_SIZE: LIMIT})
    script = """
        function on_request(h)
          local _, _, info = moon.grpc.call("main", "/a.B/C", "", {metadata = {["x-token"] = ("t"):rep(9000)}})
          h:respond({[":status"] = "200", ["x-status"] = tostring(info.status), ["x-text"] = info.message}, "")
        end"""
    proxy = moongate(configuration(server.address, routes=[route(policies=[{"policy": "policies/p.lua"}])]),
                     policies={"p.lua": script})
    client = connect(proxy.address)
    for _ in range(2):
        head = client.call(request(content_type=""))[0]
        assert (head.get("x-status"), str(LIMIT) in head.get("x-text", "")) == ("8", True), head.headers
    assert not server.heads()


@pytest.mark.parametrize("gives_up", [False, True])
def test_C10_hedged_attempts_wait_for_the_first_settings(limited, gives_up):
    hedge = {"methods": ["*/*"], "delay": "50ms"}
    proxy, client, server = limited(None, greet=False, routes=[route(hedge=hedge)])
    stream = client.open(padded(9000), end_stream=True)
    connection = server.connection()
    eventually(lambda: proxy.metric("moongate_retries_total", route="all") == 1)
    if gives_up:
        client.reset(stream)
        client.ping()
        client.expect("Ping")
        connection.greet()
        client.open(padded(1), end_stream=True)
        assert len(connection.next_request().get("x-token")) == 1
    else:
        connection.greet()
        first, second = connection.next_request(), connection.next_request()
        assert {head.get("grpc-previous-rpc-attempts") for head in (first, second)} == {None, "1"}
        connection.respond(second.stream)
        assert client.end(stream).get("grpc-status") == "0"
    assert proxy.running()


def test_C10_mirrors_wait_for_the_first_settings(moongate, upstream, connect):
    server, mirror = upstream(), upstream(greet=False, refill=False)
    proxy = moongate(configuration(
        server.address, upstreams={"mirror": [mirror.address]}, routes=[route(mirror=[{"upstream": "mirror"}])]))
    client = connect(proxy.address)
    served(client, server, padded(9000))
    connection = mirror.connection()
    assert not mirror.heads()
    connection.greet()
    assert len(connection.next_request().get("x-token")) == 9000


def test_C10_calls_of_policies_wait_for_the_first_settings(moongate, upstream, connect):
    server = upstream(greet=False, refill=False)
    script = """
        function on_request(h)
          local _, problem, info = moon.grpc.call("main", "/a.B/C", "", {metadata = {["x-token"] = ("t"):rep(9000)}})
          h:respond({[":status"] = "200", ["x-status"] = tostring(info.status)}, problem or "")
        end"""
    proxy = moongate(configuration(server.address, routes=[route(policies=[{"policy": "policies/p.lua"}])]),
                     policies={"p.lua": script})
    client = connect(proxy.address)
    stream = client.open(request(content_type=""), end_stream=True)
    connection = server.connection()
    connection.greet()
    head = connection.next_request()
    assert len(head.get("x-token")) == 9000
    connection.send_headers(head.stream, [*RESPONSE, ("grpc-status", "7")], end_stream=True)
    client.end(stream)
    assert client.expect("Headers", stream).get("x-status") == "7"


def test_a_limit_that_hardly_a_request_keeps_is_told(limited):
    proxy, client, server = limited(100)
    # It leaves before the server has said so.
    client.open(padded(1), end_stream=True)
    connection, _ = server.next_request()
    eventually(lambda: proxy.metric("moongate_upstream_small_header_limits_total", upstream="main") == 1)
    assert client.call(padded(1))[0].get("grpc-status") == "8"
    entry, = proxy.wait_entries("upstream takes hardly any headers")
    assert (entry["limit"], entry["upstream"]) == ("100", "main")
    connection.change_settings({MAX_HEADER_LIST_SIZE: 1 << 16})
    eventually(lambda: sum(frame.type == "Settings" and "ACK" in frame.flags for frame in connection.frames) == 2)
    served(client, server)


# MARK: Servers that end their connection for an error

def opened(client, server, count, head=None):
    streams, connection = [], None
    for _ in range(count):
        streams.append(client.open(head, end_stream=True))
        connection, _ = server.next_request()
    return streams, connection


@pytest.mark.parametrize("retry", [None, {"on": ["refused_stream"], "max_attempts": 5, "backoff": {"initial": "10ms"}}])
def test_C11_what_may_have_made_a_server_end_its_connection_is_not_sent_again(limited, retry):
    routes = [route(retry=retry)] if retry else None
    _, client, server = limited(None, **({"routes": routes} if routes else {}))
    streams, connection = opened(client, server, 3)
    connection.go_away(0, PROTOCOL_ERROR)
    assert client.end(streams[2]).get("grpc-status") == "13"
    again = server.connection(1)
    first, second = again.next_request(), again.next_request()
    # The others are sent once more, and not a third time.
    again.go_away(0, PROTOCOL_ERROR)
    for stream in streams[:2]:
        assert client.end(stream).get("grpc-status") in ("13", "14")
    assert {first.stream, second.stream} == {1, 3}
    served(client, server)
    assert len(server.heads()) == 6


def test_C1_all_are_sent_again_where_a_server_leaves_in_order(limited):
    _, client, server = limited(None)
    streams, connection = opened(client, server, 3)
    connection.go_away(0, NO_ERROR)
    again = server.connection(1)
    for _ in streams:
        again.respond(again.next_request().stream)
    for stream in streams:
        assert client.end(stream).get("grpc-status") == "0"


# MARK: Towards clients

@pytest.fixture
def narrow(moongate, upstream, connect):
    """A proxy with a client that takes so much: `narrow(limit)` gives client and upstream."""
    def start(limit, **more):
        server = upstream()
        proxy = moongate(configuration(server.address, **more))
        return connect(proxy.address, settings={MAX_HEADER_LIST_SIZE: limit}), server
    return start


def asked(client, server, **options):
    stream = client.open(request(**options), end_stream=True)
    connection, head = server.next_request()
    return stream, connection, head.stream


DETAILS, OTHERS = ("grpc-status-details-bin", "d" * 300), [("x-one", "1" * 100), ("x-two", "2" * 100)]
ENDING = [("grpc-status", "5"), ("grpc-message", "m" * 200)]


CUTS = {
    "all": (1200, ["grpc-status", "grpc-message", "x-one", "x-two", "grpc-status-details-bin"]),
    "no details": (600, ["grpc-status", "grpc-message", "x-one", "x-two"]),
    "no others": (400, ["grpc-status", "grpc-message"]),
    "less of the message": (200, ["grpc-status", "grpc-message"]),
    "the status": (80, ["grpc-status"]),
}


@pytest.mark.parametrize("cut, whole", [(cut, whole) for cut in CUTS for whole in (True, False)][:-1])
def test_S11_trailers_are_cut_to_what_the_client_takes(narrow, cut, whole):
    """As trailers and as a head alone, whose own two fields come on top."""
    limit, kept = CUTS[cut]
    head = size(RESPONSE) if whole else 0
    client, server = narrow(limit + head)
    stream, connection, theirs = asked(client, server)
    fields = ENDING + OTHERS + [DETAILS]
    if whole:
        connection.send_headers(theirs, RESPONSE + fields, end_stream=True)
    else:
        connection.send_headers(theirs, RESPONSE)
        connection.send_data(theirs, message(b"x"))
        connection.send_headers(theirs, fields, end_stream=True)
    end = client.end(stream)
    assert [name for name, _ in end.headers if name not in (":status", "content-type")] == kept
    assert end.get("grpc-status") == "5"
    assert size(end.headers) <= limit + head
    if limit == 200:
        assert 0 < len(end.get("grpc-message")) < 200 and set(end.get("grpc-message")) == {"m"}
    stream, connection, theirs = asked(client, server)
    connection.respond(theirs)
    assert client.end(stream).get("grpc-status") == "0"


@pytest.mark.parametrize("content_type, status, grpc", [("application/grpc", "200", "8"), ("", "502", None)])
def test_S11_a_head_that_the_client_does_not_take_is_an_error_of_its_own(narrow, content_type, status, grpc):
    client, server = narrow(1000)
    beside, other, others = asked(client, server)
    stream, connection, theirs = asked(client, server, content_type=content_type)
    connection.send_headers(theirs, RESPONSE + [("x-large", "v" * 2000)])
    connection.send_data(theirs, message(b"body"))
    head = client.answer(stream)[0]
    assert (head.get(":status"), head.get("grpc-status")) == (status, grpc)
    text = head.get("grpc-message") or client.body(stream).decode()
    assert "1000" in text and "2" in text
    assert connection.expect("RstStream", theirs).code == CANCEL
    other.respond(others)
    assert client.end(beside).get("grpc-status") == "0"


def test_S11_what_a_route_adds_to_the_error_counts_as_well(narrow):
    edits = {"response_headers": {"set": {"x-edge": "e" * 2000}}}
    client, server = narrow(1000, routes=[route(**edits)])
    for content_type, status, grpc in (("application/grpc", "200", "8"), ("", "502", None)):
        stream, connection, theirs = asked(client, server, content_type=content_type)
        connection.send_headers(theirs, RESPONSE)
        head = client.answer(stream)[0]
        assert (head.get(":status"), head.get("grpc-status")) == (status, grpc)
        assert head.get("x-edge") is None


def test_S11_an_interim_head_that_the_client_does_not_take_is_left_out(narrow):
    client, server = narrow(1000)
    stream, connection, theirs = asked(client, server)
    connection.send_headers(theirs, [(":status", "103"), ("link", "l" * 2000)])
    connection.respond(theirs)
    frames = client.answer(stream)
    assert frames[0].get(":status") == "200" and frames[-1].get("grpc-status") == "0"


def test_S11_a_client_that_takes_nothing_still_gets_the_status(narrow):
    client, server = narrow(0)
    for _ in range(2):
        stream, connection, theirs = asked(client, server)
        connection.respond(theirs)
        frames = client.answer(stream)
        assert len(frames) == 1 and frames[0].get("grpc-status") == "8"


def test_trailers_of_an_ordinary_response_may_all_go(narrow):
    client, server = narrow(200)
    stream, connection, theirs = asked(client, server, content_type="")
    connection.send_headers(theirs, [(":status", "200")])
    connection.send_data(theirs, b"body")
    connection.send_headers(theirs, [("x-sum", "s" * 500)], end_stream=True)
    assert client.end(stream).headers == []
    assert client.body(stream) == b"body"
